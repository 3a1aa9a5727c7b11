"""Other roots, entered by a process that is made for it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from virtsupd.binfmt.elsewhere import ElsewhereError, enter_process, enter_root

pytestmark = pytest.mark.process

_INSIDE = """
import ctypes, json, os, sys
from pathlib import Path
from virtsupd.binfmt.elsewhere import ElsewhereError, enter_root, renounce
try:
    renounce(enter_root(Path(sys.argv[1])))
except ElsewhereError as error:
    print(json.dumps({"error": str(error)})); sys.exit()
prctl = ctypes.CDLL(None).prctl
def opened(path):
    try: os.close(os.open(path, os.O_RDONLY))
    except OSError as error: return error.strerror
def may_chroot():
    try: os.chroot("/")
    except PermissionError: return False
    return True
print(json.dumps({"listed": sorted(os.listdir("/")), "uid": os.getresuid(), "gid": os.getresgid(),
    "groups": os.getgroups(), "device": opened("/null"), "file": opened("/file"),
    "secret": opened("/secret"), "can_gain": [n for n in range(41) if prctl(23, n) == 1],
    "is_barred": prctl(39, 0, 0, 0, 0), "may_chroot": may_chroot(), "up": sorted(os.listdir("/.."))}))
"""


def inside(root: Path, *before: str) -> dict[str, Any]:
    command = [*before, sys.executable, "-c", _INSIDE, str(root)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=20
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root that all may enter."""
    place = tmp_path / "root"
    place.mkdir()
    place.chmod(0o755)
    (place / "file").write_text("x")
    (place / "secret").touch(mode=0o600)
    return place


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up what only root has")
def test_root_becomes_nobody_and_devices_are_none(root: Path) -> None:
    os.mknod(root / "null", 0o666 | 0o020000, os.makedev(1, 3))
    found = inside(root)
    assert found["listed"] == found["up"] == ["file", "null", "secret"]
    assert found["uid"] == found["gid"] == [65534] * 3
    assert found["groups"] == []
    assert (found["file"], found["secret"]) == (None, "Permission denied")
    assert found["device"] == "Permission denied"
    assert (found["can_gain"], found["is_barred"]) == ([], 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up what only root has")
def test_in_a_root_that_is_closed_it_becomes_its_owner_without_capabilities(root: Path) -> None:
    os.chown(root, 1234, 1235)
    root.chmod(0o700)
    found = inside(root)
    assert (found["uid"], found["gid"]) == ([1234] * 3, [1235] * 3)
    assert found["secret"] == "Permission denied"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a root that is root's")
def test_a_root_that_only_root_may_enter_is_refused(root: Path) -> None:
    root.chmod(0o700)
    assert inside(root)["error"] == ("cannot be tried as an ordinary user: / is 0700, and root's")


def test_a_user_namespace_with_root_alone_has_nobody_to_become(root: Path) -> None:
    found = inside(root, "unshare", "--user", "--map-root-user")
    assert found["uid"] == [0] * 3
    assert found["file"] is None
    assert not found["may_chroot"]
    assert (found["can_gain"], found["is_barred"]) == ([], 1)


def test_an_ordinary_user_is_told_what_it_takes(root: Path) -> None:
    # A user namespace without capabilities has what an ordinary user has.
    plain = ("unshare", "--user", "--map-root-user", "setpriv", "--bounding-set=-all")
    found = inside(root, *plain, "--inh-caps=-all")
    assert found["error"].endswith(
        "not permitted; it takes root, or the capabilities SYS_ADMIN and SYS_CHROOT"
    )


def test_what_cannot_be_entered_is_named() -> None:
    with pytest.raises(ElsewhereError, match="cannot enter /no/such: it is not there"):
        enter_root(Path("/no/such"))
    with pytest.raises(ElsewhereError, match="cannot enter /etc/passwd: it is no directory"):
        enter_root(Path("/etc/passwd"))
    with pytest.raises(ElsewhereError, match="process 99999999 is: there is no such process"):
        enter_process(99999999)
