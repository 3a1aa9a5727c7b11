"""What the kernel tells of directories."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from virtsupd.binfmt.watch import Watch


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """Watch a directory that stands for the table, and one of programs."""
    (tmp_path / "table").mkdir()
    (tmp_path / "bin").mkdir()
    with closing(Watch()) as watch:
        assert watch.watch_table(tmp_path / "table")
        watch.watch_programs({tmp_path / "bin", tmp_path / "absent"})
        yield watch


def test_where_nothing_happens_nothing_is_told(watch: Watch) -> None:
    assert watch.read() == (False, False)
    assert watch.is_told


def test_entries_that_are_made_written_and_removed_are_told(watch: Watch, tmp_path: Path) -> None:
    entry = tmp_path / "table/qemu-arm"
    entry.touch()
    assert watch.read() == (True, False)
    entry.write_text("0")
    assert watch.read() == (True, False)
    entry.unlink()
    assert watch.read() == (True, False)


def test_a_program_that_is_replaced_is_told(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "bin/.new").write_text("x")
    watch.read()
    (tmp_path / "bin/.new").rename(tmp_path / "bin/qemu-arm-static")
    assert watch.read() == (False, True)


@pytest.mark.parametrize("times", [1, 3])
def test_a_link_on_the_way_to_programs_that_is_switched_is_told(tmp_path: Path, times: int) -> None:
    """As with a system that is a link to its newest generation, and has a profile that is a link."""
    for number in range(times + 1):
        (tmp_path / f"system-{number}").mkdir()
        (tmp_path / f"profile-{number}/bin").mkdir(parents=True)
        (tmp_path / f"system-{number}/profile").symlink_to(f"../profile-{number}")
    system = tmp_path / "system"
    system.symlink_to(tmp_path / "system-0")
    with closing(Watch()) as watch:
        watch.watch_programs({system / "profile/bin"})
        (tmp_path / "other").symlink_to("/")
        assert watch.read() == (False, False)
        for number in range(1, times + 1):
            (tmp_path / "new").symlink_to(f"system-{number}")
            (tmp_path / "new").rename(system)
            assert watch.read() == (False, True)
            (tmp_path / f"profile-{number - 1}/bin/qemu-arm").touch()
            assert watch.read() == (False, False)
            (tmp_path / f"profile-{number}/bin/qemu-arm").touch()
            assert watch.read() == (False, True)
            (tmp_path / f"system-{number}/profile").unlink()
            (tmp_path / f"system-{number}/profile").symlink_to(tmp_path / f"profile-{number}")
            assert watch.read() == (False, True)


def test_a_link_that_leads_to_itself_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "bin").symlink_to("bin")
    with closing(Watch()) as watch:
        watch.watch_programs({tmp_path / "bin"})
        assert watch.read() == (False, False)


def test_a_directory_that_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    with closing(Watch()) as watch:
        assert not watch.watch_table(tmp_path / "absent")
        assert not watch.is_told


def test_that_the_table_is_gone_is_noticed(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "table").rmdir()
    watch.read()
    assert not watch.is_told
