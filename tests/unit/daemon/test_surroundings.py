"""What the host has against a configuration is asked with a deadline, and taken for the worse."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.config.load import Loaded
from virtsupd.config.problems import Fault, HostFault
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
    quiet = replace(loaded, host_faults=tuple, host_remarks=tuple)
    assert await surroundings.faults(quiet) == ()
    assert await surroundings.remarks(quiet) == ()
    assert await surroundings.unfit(loaded) == {}


async def test_what_the_host_says_is_told(loaded: Loaded) -> None:
    fault = HostFault("no", ("virtlogd",))
    found = replace(loaded, host_faults=lambda: (fault,), host_remarks=lambda: ("well",))
    assert await surroundings.faults(found) == (fault,)
    assert await surroundings.remarks(found) == ("well",)
    taken = loaded.host.run_dir
    taken.write_text("no directory")
    hindrances = await surroundings.hindrances(loaded)
    assert f"{loaded.path}: cannot use {taken}: something else is there" in hindrances


async def test_who_would_end_over_its_file_is_told_with_the_key(loaded: Loaded) -> None:
    files = [replace(file, refusals=lambda: [(("size",), "is odd")]) for file in loaded.generated]
    assert await surroundings.unfit(replace(loaded, generated=tuple(files))) == {
        "virtlogd": "size: is odd"
    }


@pytest.mark.usefixtures("impatient")
async def test_no_answer_is_taken_for_the_worse(loaded: Loaded, stuck: threading.Event) -> None:
    def ask() -> tuple[()]:
        stuck.wait(10)
        return ()

    def refuse() -> list[Fault]:
        stuck.wait(10)
        return []

    files = tuple(replace(file, refusals=refuse) for file in loaded.generated)
    found = replace(loaded, host_faults=ask, host_remarks=ask, generated=files)
    [fault] = await surroundings.faults(found)
    assert "did not say" in fault.text
    assert fault.services == ()  # a name service that hangs is no reason to refuse the file
    assert "did not say" in (await surroundings.remarks(found))[0]
    assert "no answer" in (await surroundings.unfit(found))[Name("virtlogd")]
