"""The manual names every verb and exit status."""

from pathlib import Path

import pytest

from virtsupd.cli.usage import EXIT_STATUS
from virtsupd.cli.verbs import VERBS

MANUAL = (Path(__file__).resolve().parents[3] / "docs/manual.md").read_text()


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS if not verb.is_hidden])
def test_the_manual_shows_every_verb(verb: str) -> None:
    if verb not in ("status", "help"):
        assert f"virtsupctl {verb}" in MANUAL or f"`{verb} NAME`" in MANUAL


def test_the_manual_explains_every_exit_status() -> None:
    for code, _ in EXIT_STATUS:
        assert f"\n| {code} | " in MANUAL
