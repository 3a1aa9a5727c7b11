import os
import stat
from pathlib import Path

import pytest

from virtsupd.binfmt.places import PROGRAM, _in_directory, placed

PROGRAMS = {"arm": b"an arm program", "s390x": b"another one"}


def test_programs_are_in_memory_and_nowhere_else() -> None:
    with placed(PROGRAMS) as places:
        for name, place in places.items():
            assert place.path == f"/proc/self/fd/{PROGRAM}"
            assert place.descriptor is not None
            assert os.pread(place.descriptor, 100, 0) == PROGRAMS[name]
            assert not os.get_inheritable(place.descriptor)


def test_in_a_directory_nobody_else_can_touch_them_and_nothing_stays() -> None:
    with _in_directory(PROGRAMS) as places:
        files = {name: Path(place.path) for name, place in places.items()}
        assert {name: file.read_bytes() for name, file in files.items()} == PROGRAMS
        [directory] = {file.parent for file in files.values()}
        for path in (directory, *files.values()):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
            assert path.stat().st_uid == os.geteuid()
    assert not directory.exists()


def test_nothing_stays_if_it_ends_in_between() -> None:
    directories = []

    def end() -> None:
        with _in_directory(PROGRAMS) as places:
            directories.append(Path(places["arm"].path).parent)
            raise SystemExit

    with pytest.raises(SystemExit):
        end()
    assert not directories[0].exists()
