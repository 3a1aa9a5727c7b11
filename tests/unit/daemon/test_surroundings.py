"""What the host has against a configuration is asked with a deadline, and taken for the worse."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.config.load import Loaded
from virtsupd.config.problems import Fault
from virtsupd.core.names import Name
from virtsupd.daemon import surroundings

HOST = "[virtlog]\n"


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    return Folder(tmp_path).load(f'[host]\nrun_dir = "{tmp_path}/run"\nunit_dirs = []\n{HOST}')


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """What a question waits for that is never answered in time."""
    release = threading.Event()
    yield release
    release.set()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "_SECONDS", 0.01)


async def test_a_host_that_fits_says_nothing(loaded: Loaded) -> None:
    assert await surroundings.faults(replace(loaded, host_faults=tuple)) == ()
    assert await surroundings.unfit(loaded) == {}


async def test_what_the_host_says_is_told(loaded: Loaded) -> None:
    assert await surroundings.faults(replace(loaded, host_faults=lambda: ("no",))) == ("no",)
    taken = loaded.host.run_dir
    taken.write_text("no directory")
    found = await surroundings.hindrances(loaded)
    assert f"{loaded.path}: cannot use {taken}: something else is there" in found


async def test_who_would_end_over_its_file_is_told_with_the_key(loaded: Loaded) -> None:
    files = [replace(file, refusals=lambda: [(("size",), "is odd")]) for file in loaded.generated]
    assert await surroundings.unfit(replace(loaded, generated=tuple(files))) == {
        "virtlogd": "size: is odd"
    }


@pytest.mark.usefixtures("impatient")
async def test_no_answer_is_taken_for_the_worse(loaded: Loaded, stuck: threading.Event) -> None:
    def ask() -> tuple[str, ...]:
        stuck.wait(10)
        return ()

    def refuse() -> list[Fault]:
        stuck.wait(10)
        return []

    files = tuple(replace(file, refusals=refuse) for file in loaded.generated)
    found = replace(loaded, host_faults=ask, generated=files)
    assert "did not say" in (await surroundings.faults(found))[0]
    assert "no answer" in (await surroundings.unfit(found))[Name("virtlogd")]
