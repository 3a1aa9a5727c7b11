"""The manual pages say what there is."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from virtsupd.cli.usage import EXIT_STATUS
from virtsupd.config import model, probes, timer

PAGES = Path(__file__).resolve().parents[3] / "docs/man"
TABLES = [
    one
    for module in (model, probes, timer)
    for one in vars(module).values()
    if isinstance(one, type) and issubclass(one, BaseModel) and one.__module__ == module.__name__
]


def words_of(page: str) -> set[str]:
    """Return the words of a page's source."""
    text = (PAGES / page).read_text().replace("\\-", "-")
    return set(re.findall(r"[\w-]+", text))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.__name__))
def test_every_key_of_a_host_file_is_explained(table: type[BaseModel]) -> None:
    keys = set(table.model_fields) - {"probe", "rule", "actions"}
    assert keys <= words_of("virtsupd-host.toml.5")


def test_every_exit_status_is_explained() -> None:
    page = (PAGES / "virtsupctl.1").read_text()
    for code, _ in EXIT_STATUS:
        assert f"\n.B {code}\n" in page
