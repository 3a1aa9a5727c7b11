"""The socket's path: what is replaced, what is refused, and what mode it has."""

import grp
import os
import pwd
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from virtsupd.config.settings import AccessSettings
from virtsupd.control.access import Peer
from virtsupd.control.listener import Listener, check_place
from virtsupd.errors import AlreadyRunningError, ConfigError

PLAIN = AccessSettings()


def make_stale(path: Path) -> None:
    """Leave a socket behind that nobody listens on."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


def test_directories_are_made_and_the_socket_goes_with_its_listener(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "control"
    before = os.umask(0o077)
    try:
        listener = Listener(path, AccessSettings(mode=0o666))
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    listener.close()
    assert not path.exists()


def test_owner_and_group_are_set(tmp_path: Path) -> None:
    user, group = pwd.getpwnam("daemon"), grp.getgrnam("mail")
    access = AccessSettings(mode=0o660, owner=user.pw_uid, group=group.gr_gid)
    crashed = Listener(tmp_path / "control", access)
    crashed.socket.close()
    listener = Listener(tmp_path / "control", access)
    found = (tmp_path / "control").stat()
    listener.close()
    assert (found.st_uid, found.st_gid) == (user.pw_uid, group.gr_gid)


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control"
    make_stale(path)
    listener = Listener(path, PLAIN)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()


def test_a_socket_that_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control"
    first = Listener(path, PLAIN)
    with pytest.raises(AlreadyRunningError, match="another program already listens"):
        Listener(path, PLAIN)
    assert path.exists()
    first.close()


def test_a_full_queue_is_somebody_listening(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        with pytest.raises(AlreadyRunningError):
            Listener(path, PLAIN)


def test_closing_leaves_a_successors_socket(tmp_path: Path) -> None:
    path = tmp_path / "control"
    first = Listener(path, PLAIN)
    path.unlink()
    second = Listener(path, PLAIN)
    first.close()
    assert path.exists()
    second.close()


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control"
    path.write_text("precious")
    with pytest.raises(ConfigError, match=r"cannot listen on .*: there is something that is not"):
        Listener(path, PLAIN)
    assert path.read_text() == "precious"


def test_somebody_elses_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control"
    make_stale(path)
    os.chown(path, 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to uid 12345"):
        Listener(path, PLAIN)
    assert path.exists()


def test_a_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 107)
    with pytest.raises(ConfigError, match=r"the path has \d+ bytes, a socket's has at most 107"):
        Listener(path, PLAIN)


def test_an_owner_need_not_have_a_name(tmp_path: Path) -> None:
    access = AccessSettings(owner=54321, group=54322)
    listener = Listener(tmp_path / "control", access)
    assert permissions(tmp_path / "control") == (0o600, 54321, 54322)
    listener.close()


def refusal(path: Path, access: AccessSettings = PLAIN, running: int | None = None) -> str:
    """Return why a listener could not be made, without making it; "" if it could."""
    before = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    why = ""
    try:
        check_place(path, access, running=running)
    except (AlreadyRunningError, ConfigError) as error:
        why = str(error)
    assert (sorted(path.parent.iterdir()) if path.parent.is_dir() else []) == before
    if why:
        with pytest.raises((AlreadyRunningError, ConfigError)) as caught:
            Listener(path, access)
        assert str(caught.value).replace("File exists", "Not a directory") == why
    return why


def test_what_would_refuse_a_listener_is_known_before(tmp_path: Path) -> None:
    for name in ("plain", "stale", "theirs"):
        make_stale(tmp_path / name) if name != "plain" else (tmp_path / name).touch()
    os.chown(tmp_path / "theirs", 12345, 12345)
    assert "something that is not a socket" in refusal(tmp_path / "plain")
    assert "belongs to uid 12345" in refusal(tmp_path / "theirs")
    assert "at most 107" in refusal(tmp_path / ("x" * 107))
    assert "Not a directory" in refusal(tmp_path / "plain/control")
    assert refusal(tmp_path / "stale") == ""
    assert refusal(tmp_path / "a/b/control") == ""
    assert not (tmp_path / "a").exists()


def test_whoever_listens_is_left_alone_unless_it_is_the_one_that_runs(tmp_path: Path) -> None:
    listener = Listener(tmp_path / "control", PLAIN)
    assert "already listens" in refusal(tmp_path / "control")
    assert "already listens" in refusal(tmp_path / "control", running=1)
    check_place(tmp_path / "control", PLAIN, running=os.getpid())
    listener.close()


def test_who_may_not_give_the_socket_away_is_told_before(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    line = (
        "import os, sys; from pathlib import Path; os.setgroups([]); os.setresgid(1, 1, 1);"
        "from virtsupd.control.listener import check_place;"
        "from virtsupd.config.settings import AccessSettings;"
        "os.setresuid(1, 1, 1); check_place(Path(sys.argv[1]), AccessSettings());"
        "check_place(Path(sys.argv[1]), AccessSettings(owner=2))"
    )
    command = [sys.executable, "-c", line, str(tmp_path / "control")]
    if os.geteuid() == 0:
        # Others may not enter the test run's own directory.
        command = ["env", "-C", str(tmp_path), *command[:-1], "control"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert "ConfigError: cannot listen on control: Operation not permitted" in done.stderr, done


def test_a_directory_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot listen on .*: (Not a directory|File exists)"):
        Listener(tmp_path / "file" / "control", PLAIN)


def test_a_place_for_no_socket_is_told() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on /proc/self/control: "):
        Listener(Path("/proc/self/control"), PLAIN)


def permissions(path: Path) -> tuple[int, int, int]:
    """Return mode, owner and group."""
    found = path.stat()
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def test_mode_and_owner_change_while_it_listens_and_go_back(tmp_path: Path) -> None:
    path = tmp_path / "control"
    user, group = pwd.getpwnam("daemon"), grp.getgrnam("mail")
    listener = Listener(path, PLAIN)
    born = permissions(path)
    owned = AccessSettings(mode=0o660, owner=user.pw_uid, group=group.gr_gid)
    assert listener.change_access(owned)
    assert permissions(path) == (0o660, user.pw_uid, group.gr_gid)
    assert listener.change_access(PLAIN)
    assert permissions(path) == born
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()
    assert not path.exists()


@pytest.mark.parametrize("by", ["nothing", "file", "link"])
def test_what_has_taken_its_path_is_left_alone(tmp_path: Path, by: str) -> None:
    path, precious = tmp_path / "control", tmp_path / "precious"
    precious.write_text("")
    precious.chmod(0o640)
    listener = Listener(path, PLAIN)
    path.unlink()
    if by == "file":
        precious.rename(path)
        precious = path
    elif by == "link":
        path.symlink_to(precious)
    assert not listener.change_access(AccessSettings(mode=0o666))
    assert stat.S_IMODE(precious.stat().st_mode) == 0o640
    assert listener.admits(Peer(1, 12345, 12345))
    listener.close()


@pytest.mark.parametrize(
    ("mode", "peer", "is_admitted"),
    [
        (0o000, Peer(1, 0, 0), True),
        (0o600, Peer(1, 1, 1), True),
        (0o066, Peer(1, 1, 8), False),
        (0o660, Peer(1, 2, 8), True),
        (0o660, Peer(1, 2, 2, frozenset({8})), True),
        (0o606, Peer(1, 2, 8), False),
        (0o606, Peer(1, 2, 2), True),
        (0o664, Peer(1, 2, 2), False),
    ],
)
def test_who_is_admitted(tmp_path: Path, mode: int, peer: Peer, *, is_admitted: bool) -> None:
    access = AccessSettings(mode=mode, owner=1, group=8)
    listener = Listener(tmp_path / "control", access)
    assert permissions(tmp_path / "control") == (mode, 1, 8)
    assert listener.admits(peer) is is_admitted
    listener.close()


def test_an_inherited_socket_keeps_its_clients_and_takes_the_new_mode(tmp_path: Path) -> None:
    first = Listener(tmp_path / "control", PLAIN)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(first.path))
        kept = os.dup(first.fileno())
        first.socket.close()
        listener = Listener(first.path, AccessSettings(mode=0o660), inherited=kept)
        assert listener.fileno() == kept
        listener.socket.accept()[0].close()
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o660
    listener.close()
    assert not first.path.exists()


@pytest.mark.parametrize("is_replaced", [True, False])
def test_an_inherited_socket_that_no_client_finds_is_made_anew(
    tmp_path: Path, *, is_replaced: bool
) -> None:
    first = Listener(tmp_path / "control", PLAIN)
    first.path.unlink()
    if is_replaced:
        make_stale(first.path)
    kept = os.dup(first.fileno())
    first.socket.close()
    listener = Listener(first.path, PLAIN, inherited=kept)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(first.path))
        listener.socket.accept()[0].close()
    listener.close()
