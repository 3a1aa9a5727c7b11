"""Activation sockets: what they accept, whom they replace, and what they refuse to touch."""

import os
import socket
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.probing import child, free_port, hear, tell

from virtsupd.core.spec import SocketSpec
from virtsupd.errors import SpawnError
from virtsupd.process.activation import ListeningSockets, remove_stale

pytestmark = pytest.mark.process


@pytest.fixture
def sockets() -> Iterator[ListeningSockets]:
    made = ListeningSockets()
    yield made
    made.close()


def refusal(sockets: ListeningSockets, listen: str, **facts: str) -> SpawnError:
    """Return the error with which a socket is refused."""
    with pytest.raises(SpawnError) as caught:
        sockets.open_socket(SocketSpec(name="web", listen=listen, **facts))  # type: ignore[arg-type]
    assert caught.value.stage == "socket"
    return caught.value


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        ("stream", socket.SOCK_STREAM),
        ("datagram", socket.SOCK_DGRAM),
        ("seqpacket", socket.SOCK_SEQPACKET),
    ],
)
def test_a_unix_socket_of_each_type_takes_clients(
    sockets: ListeningSockets, tmp_path: Path, kind: str, type_: socket.SocketKind
) -> None:
    path = tmp_path / "deep" / "web.sock"
    spec = SocketSpec(name="web", listen=str(path), type=kind)  # type: ignore[arg-type]
    descriptor = sockets.open_socket(spec)
    assert sockets.open_socket(spec) == descriptor
    assert not os.get_inheritable(descriptor)
    assert os.get_blocking(descriptor)
    with socket.socket(socket.AF_UNIX, type_) as client:
        client.connect(str(path))
        assert client.getpeername() == str(path)
    sockets.close()
    assert not path.exists()


def test_owner_group_and_mode_are_as_told(sockets: ListeningSockets, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    sockets.open_socket(
        SocketSpec(name="web", listen=str(path), mode=0o666, owner="nobody", group="65534")
    )
    found = path.lstat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65534, 65534, 0o666)


def test_a_service_keeps_its_queue_over_restarts(sockets: ListeningSockets) -> None:
    spec = SocketSpec(name="web", listen="@virtsupd-test-queue")
    (descriptor,) = sockets.open_all([spec])
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0virtsupd-test-queue")
        assert sockets.open_all([spec]) == (descriptor,)
        with socket.socket(fileno=os.dup(descriptor)) as service:
            accepted, _ = service.accept()
            accepted.close()


@pytest.mark.parametrize(
    ("listen", "client"),
    [
        ("127.0.0.1:{port}", "127.0.0.1"),
        ("localhost:{port}", "127.0.0.1"),
        ("[::1]:{port}", "::1"),
        ("{port}", "127.0.0.1"),
        ("{port}", "::1"),
    ],
)
def test_a_tcp_socket_takes_clients(sockets: ListeningSockets, listen: str, client: str) -> None:
    port = free_port()
    sockets.open_socket(SocketSpec(name="web", listen=listen.format(port=port)))
    socket.create_connection((client, port), timeout=5).close()


def test_a_udp_socket_takes_datagrams(sockets: ListeningSockets) -> None:
    descriptor = sockets.open_socket(SocketSpec(name="web", listen="127.0.0.1:0", type="datagram"))
    with (
        socket.socket(fileno=os.dup(descriptor)) as service,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.sendto(b"hello", service.getsockname())
        assert service.recv(10) == b"hello"


def test_a_taken_port_names_its_holder(sockets: ListeningSockets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = refusal(sockets, f"127.0.0.1:{port}")
    program = Path("/proc/self/comm").read_text().strip()
    assert str(error) == (
        f"cannot listen on 127.0.0.1:{port}: port {port} is already in use by pid {os.getpid()} ({program})"
    )
    assert not error.is_permanent


@pytest.mark.parametrize(
    ("listen", "kind", "family"),
    [
        ("@virtsupd-test-taken", "stream", socket.AF_UNIX),
        ("@virtsupd-test-taken", "datagram", socket.AF_UNIX),
        ("127.0.0.1:{port}", "datagram", socket.AF_INET),
    ],
)
def test_what_is_taken_is_not_shared(
    sockets: ListeningSockets, listen: str, kind: str, family: socket.AddressFamily
) -> None:
    type_ = socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM
    with socket.socket(family, type_) as taken:
        taken.bind("\0" + listen[1:] if family == socket.AF_UNIX else ("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = refusal(sockets, listen.format(port=port), type=kind)
    assert f"is already in use by pid {os.getpid()} (" in str(error)


def test_a_socket_file_that_the_service_removed_is_made_anew(
    sockets: ListeningSockets, tmp_path: Path
) -> None:
    spec = SocketSpec(name="web", listen=str(tmp_path / "web.sock"))
    sockets.open_socket(spec)
    (tmp_path / "web.sock").unlink()
    sockets.open_socket(spec)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(spec.listen)


def test_a_directory_that_cannot_be_made_is_a_refusal(
    sockets: ListeningSockets, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    error = refusal(sockets, str(tmp_path / "file" / "web.sock"))
    assert str(error).endswith(("file exists", "not a directory"))


def test_a_path_that_somebody_listens_on_is_left_alone(
    sockets: ListeningSockets, tmp_path: Path
) -> None:
    path = tmp_path / "web.sock"
    with child("ready_socket.py", path) as process:
        hear(process)
        tell(process, "bind")
        tell(process, "listen")
        assert [hear(process), hear(process)] == ["bound", "listening"]
        error = refusal(sockets, str(path))
        assert f"it is already in use by pid {process.pid} (" in str(error)
    assert path.exists()


def test_a_stale_socket_is_replaced(sockets: ListeningSockets, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
        stale.listen()
    sockets.open_socket(SocketSpec(name="web", listen=str(path)))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_a_path_that_is_no_socket_is_left_alone(
    sockets: ListeningSockets, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "web.sock"
    (tmp_path / "file").write_text("precious")
    match kind:
        case "file":
            path.write_text("precious")
        case "link":
            path.symlink_to("file")
        case _:
            path.mkdir()
    error = refusal(sockets, str(path))
    assert "a file that is no socket is there already" in str(error)
    assert error.is_permanent
    assert (tmp_path / "file").read_text() == "precious"


def test_a_link_planted_in_a_shared_directory_is_not_followed(
    sockets: ListeningSockets, tmp_path: Path
) -> None:
    shared, target = tmp_path / "shared", tmp_path / "target"
    shared.mkdir()
    shared.chmod(0o1777)
    target.mkdir()
    (shared / "run").symlink_to(target)
    assert "symbolic link in a directory that anybody" in str(
        refusal(sockets, str(shared / "run" / "web.sock"))
    )
    (tmp_path / "own").symlink_to(target)
    sockets.open_socket(SocketSpec(name="web", listen=str(tmp_path / "own" / "web.sock")))


@pytest.mark.parametrize(
    ("listen", "facts", "message"),
    [
        ("/" + "x" * 107, {}, "108 bytes are too long"),
        ("nohost:80", {}, "not an address; allowed are"),
        ("127.0.0.1:65536", {}, "not an address"),
        ("", {}, "not an address"),
        ("[127.0.0.1]:80", {}, "not an address"),
        ("80", {"type": "seqpacket"}, "seqpacket is for Unix sockets"),
        ("/run/x.sock", {"owner": "nobody-such"}, "there is no user nobody-such"),
        ("/run/x.sock", {"group": "nobody-such"}, "there is no group nobody-such"),
        ("/run/x.sock", {"owner": "4294967295"}, "there is no user 4294967295"),
        ("/run/x.sock", {"group": "9" * 30}, "there is no group 9999"),
    ],
)
def test_what_cannot_work_is_refused_for_good(
    sockets: ListeningSockets, listen: str, facts: dict[str, str], message: str
) -> None:
    error = refusal(sockets, listen, **facts)
    assert message in str(error)
    assert error.is_permanent


def test_an_address_that_the_host_does_not_have_may_come(sockets: ListeningSockets) -> None:
    error = refusal(sockets, "192.0.2.250:8099")
    assert str(error) == "cannot listen on 192.0.2.250:8099: cannot assign requested address"
    assert not error.is_permanent


def test_all_are_opened_or_none(sockets: ListeningSockets, tmp_path: Path) -> None:
    good = SocketSpec(name="a", listen=str(tmp_path / "a"))
    other = SocketSpec(name="b", listen=str(tmp_path / "b"))
    bad = SocketSpec(name="c", listen="nohost:80")
    kept = sockets.open_all([good])
    with pytest.raises(SpawnError):
        sockets.open_all([good, other, bad])
    assert sockets.descriptors == kept
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    sockets.open_all([other])
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_file_that_a_successor_bound_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    sockets = ListeningSockets()
    sockets.open_socket(SocketSpec(name="web", listen=str(path)))
    path.rename(tmp_path / "old")
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(str(path))
        sockets.close()
        assert path.exists()


# Taken back from a service, and inherited over an exec


@contextmanager
def service_with(descriptors: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Run a process that has these descriptors, and yield its pid and pidfd."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=descriptors) as process:
        pidfd = os.pidfd_open(process.pid)
        try:
            yield process.pid, pidfd
        finally:
            os.close(pidfd)
            process.kill()


@contextmanager
def abandoned(*specs: SocketSpec) -> Iterator[tuple[int, int]]:
    """Run a service whose sockets a virtsupd opened that is gone by now."""
    before = ListeningSockets()
    with service_with(before.open_all(specs)) as running:
        before.leave()
        yield running


def inode(descriptor: int) -> int:
    return os.fstat(descriptor).st_ino


def specs_of_each_kind(directory: Path) -> tuple[SocketSpec, ...]:
    """Return a spec of each kind of address and type; two share a name."""
    return (
        SocketSpec(name="web", listen=str(directory / "web.sock")),
        SocketSpec(name="web", listen=str(directory / "log.sock"), type="datagram"),
        SocketSpec(name="seq", listen=str(directory / "seq.sock"), type="seqpacket"),
        SocketSpec(name="abstract", listen="@virtsupd-test-taken-back"),
        SocketSpec(name="v4", listen=f"127.0.0.1:{free_port()}"),
        SocketSpec(name="v6", listen=f"[::1]:{free_port()}"),
        SocketSpec(name="any", listen=str(free_port())),
        SocketSpec(name="udp", listen=f"127.0.0.1:{free_port()}", type="datagram"),
    )


def test_each_listener_is_got_back_from_the_running_service(
    sockets: ListeningSockets, tmp_path: Path
) -> None:
    specs = specs_of_each_kind(tmp_path)
    before = ListeningSockets()
    descriptors = before.open_all(specs)
    inodes = [inode(descriptor) for descriptor in descriptors]
    with service_with(descriptors) as (pid, pidfd):
        before.leave()
        assert sockets.take_back(reversed(specs), pid, pidfd) == ()
        got = sockets.open_all(specs)
    assert [inode(descriptor) for descriptor in got] == inodes
    assert not any(os.get_inheritable(descriptor) for descriptor in got)
    sockets.close()
    assert list(tmp_path.iterdir()) == []


def test_clients_that_wait_stay_in_the_queue(sockets: ListeningSockets, tmp_path: Path) -> None:
    spec = SocketSpec(name="web", listen=str(tmp_path / "web.sock"))
    with abandoned(spec) as (pid, pidfd):
        clients = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        for number, client in enumerate(clients):
            client.connect(spec.listen)
            client.sendall(b"%02d" % number)
        assert sockets.take_back([spec], pid, pidfd) == ()
    with socket.socket(fileno=os.dup(sockets.open_socket(spec))) as listener:
        served = [listener.accept()[0] for _ in clients]
    assert [peer.recv(2) for peer in served] == [b"%02d" % number for number in range(20)]
    for peer in (*served, *clients):
        peer.close()


def test_a_connection_of_the_service_is_not_taken_for_its_listener(
    sockets: ListeningSockets, tmp_path: Path
) -> None:
    spec = SocketSpec(name="web", listen=str(tmp_path / "web.sock"))
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(spec.listen)
        listener.listen()
        client.connect(spec.listen)
        with listener.accept()[0] as served:
            assert served.getsockname() == spec.listen
            with service_with([served.fileno()]) as running:
                assert sockets.take_back([spec], *running) == (spec,)


def test_a_listener_that_clients_no_longer_find_is_left_to_the_service(
    sockets: ListeningSockets, tmp_path: Path
) -> None:
    spec = SocketSpec(name="web", listen=str(tmp_path / "web.sock"))
    with abandoned(spec) as (pid, pidfd):
        (tmp_path / "web.sock").rename(tmp_path / "moved")
        assert sockets.take_back([spec], pid, pidfd) == (spec,)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(spec.listen)
            assert sockets.take_back([spec], pid, pidfd) == (spec,)
        assert sockets.descriptors == ()


@pytest.mark.parametrize(
    ("passed", "asked"),
    [
        ({"listen": "127.0.0.1:{port}"}, {"listen": "127.0.0.2:{port}"}),
        ({"listen": "127.0.0.1:{port}"}, {"listen": "[::1]:{port}"}),
        ({"listen": "127.0.0.1:{port}"}, {"listen": "{port}"}),
        ({"listen": "127.0.0.1:{port}"}, {"listen": "127.0.0.1:{port}", "type": "datagram"}),
        ({"listen": "@virtsupd-{port}"}, {"listen": "@virtsupd-{port}", "type": "seqpacket"}),
        ({"listen": "@virtsupd-{port}"}, {"listen": "@virtsupd"}),
        ({"listen": "@virtsupd-{port}"}, {"listen": "virtsupd:{port}"}),
    ],
)
def test_another_socket_of_the_service_is_not_taken(
    sockets: ListeningSockets, passed: dict[str, str], asked: dict[str, str]
) -> None:
    port = free_port()
    had, wanted = (
        SocketSpec(name="web", **{key: value.format(port=port) for key, value in facts.items()})  # type: ignore[arg-type]
        for facts in (passed, asked)
    )
    with abandoned(had) as (pid, pidfd):
        assert sockets.take_back([wanted], pid, pidfd) == (wanted,)
        assert sockets.take_back([wanted, had], pid, pidfd) == (wanted,)
        assert len(sockets.descriptors) == 1


def test_the_socket_of_a_service_that_died_too_is_opened_anew(
    sockets: ListeningSockets, tmp_path: Path
) -> None:
    specs = [
        SocketSpec(name="web", listen=str(tmp_path / "web.sock")),
        SocketSpec(name="log", listen=str(tmp_path / "log.sock"), type="datagram"),
    ]
    with abandoned(*specs) as (pid, _):
        pidfd = os.pidfd_open(pid)
    try:
        assert sockets.take_back(specs, pid, pidfd) == tuple(specs)
    finally:
        os.close(pidfd)
    sockets.open_all(specs)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(specs[0].listen)


def test_files_that_a_dead_service_left_can_be_removed_and_nothing_else(tmp_path: Path) -> None:
    stale, live, file = (
        SocketSpec(name="web", listen=str(tmp_path / name)) for name in ("stale", "live", "file")
    )
    with abandoned(stale):
        pass
    Path(file.listen).touch()
    with abandoned(live):
        remove_stale([stale, live, file, SocketSpec(name="port", listen="80"), stale])
        assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "live"]


def test_sockets_are_inherited_under_the_names_they_were_handed_over_by(
    sockets: ListeningSockets, tmp_path: Path
) -> None:
    specs = specs_of_each_kind(tmp_path)
    before = ListeningSockets()
    inodes = [inode(descriptor) for descriptor in before.open_all(specs)]
    handed = {name: os.dup(number) for name, number in before.handed().items()}
    before.leave()
    assert sockets.inherit(specs, handed) == ()
    assert [inode(descriptor) for descriptor in sockets.open_all(specs)] == inodes
    sockets.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_inherited_and_fits_nothing_is_closed(
    sockets: ListeningSockets, tmp_path: Path
) -> None:
    kept = SocketSpec(name="web", listen=str(tmp_path / "web.sock"))
    gone = SocketSpec(name="old", listen=str(tmp_path / "old.sock"))
    new = SocketSpec(name="new", listen="80")
    before = ListeningSockets()
    before.open_all([kept, gone])
    handed = {name: os.dup(number) for name, number in before.handed().items()}
    before.leave()
    handed["stream nonsense"] = os.open(os.devnull, os.O_RDONLY)
    with socket.socket(fileno=os.dup(handed["stream " + gone.listen])) as other:
        handed["stream 80"] = other.detach()
    assert sockets.inherit([kept, new], handed) == (new,)
    assert sockets.descriptors == (handed["stream " + kept.listen],)
    for name, number in handed.items():
        if name != "stream " + kept.listen:
            with pytest.raises(OSError, match="Bad file"):
                os.fstat(number)
