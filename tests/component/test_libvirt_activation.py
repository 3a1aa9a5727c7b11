"""Sockets that virtsupd holds for libvirt's daemons, on the real ones."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.guest import Guest
from tests.support.libvirt import COMMANDS, LibvirtHost, libvirt_host, successor

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]

TABLES = """
activation = {activation}

[virtlock]
activation = {activation}

[libvirt]
activation = {activation}
listen_tcp = true
listen_addr = "127.0.0.1"
auth_tcp = "none"
unix_sock_dir = "{shared}/libvirt"
unix_sock_group = "kvm"
unix_sock_ro_perms = "0775"
unix_sock_admin_perms = "0700"

[service.libvirtd]
command = ["/bin/sh", "-c", 'while [ -e "$0" ]; do sleep 0.05; done; exec "$@"', "{shared}/gate", {command}]
"""
NAMES = ("virtlogd", "virtlockd", "libvirtd")


@contextmanager
def running(shared: Path, *, activation: bool) -> Iterator[LibvirtHost]:
    """Run a host whose libvirtd, or rather what becomes it, waits while there is a file `gate`."""
    shared.mkdir(exist_ok=True)
    conf = shared / "run/generated/libvirt/libvirtd.conf"
    listen = "" if activation else ', "--listen"'
    tables = TABLES.format(
        activation=str(activation).lower(),
        shared=shared,
        command=f'"libvirtd", "-f", "{conf}"{listen}',
    )
    with libvirt_host(shared, tables=tables) as host:
        host.await_running(*NAMES)
        yield host


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    with running(tmp_path_factory.mktemp("host"), activation=True) as host:
        yield host


def sockets(host: LibvirtHost) -> dict[str, tuple[str, int, int]]:
    """Return mode, owner and group of each socket of the daemons."""
    found = [path for path in (host.namespaces.shared / "libvirt").iterdir() if path.is_socket()]
    stats = {path.name: path.stat() for path in found}
    return {
        name: (f"{stat.st_mode & 0o777:o}", stat.st_uid, stat.st_gid)
        for name, stat in stats.items()
    }


def inodes(host: LibvirtHost) -> dict[str, int]:
    """Return which sockets there are."""
    files = (host.namespaces.shared / "libvirt").iterdir()
    return {path.name: path.stat().st_ino for path in files if path.is_socket()}


def waiting(host: LibvirtHost) -> int:
    """Return how many clients are queued at libvirtd's main socket."""
    listed = host.namespaces.run("ss", "-Hxl").stdout.splitlines()
    [line] = [line for line in listed if line.split()[4].endswith("/libvirt-sock")]
    return int(line.split()[2])


def assert_a_client_waits_for_a_restart(host: LibvirtHost) -> None:
    """See that a virsh begun while there is no libvirtd gets its answer from the next one."""
    gate = host.namespaces.shared / "gate"
    before, held = host.pid("libvirtd"), inodes(host)
    gate.touch()
    enter = ["nsenter", "--target", str(host.namespaces.first), "--mount", "--net", "--pid"]
    control = ["--socket", str(host.namespaces.shared / "control")]
    with subprocess.Popen(
        [str(COMMANDS / "virtsupctl"), *control, "restart", "libvirtd"]
    ) as restart:
        eventually(lambda: host.namespaces.start_time(before) is None, "the end of libvirtd")
        with subprocess.Popen(
            [*enter, "--root", "--wd", "--", "virsh", "--quiet", "uri"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as client:
            eventually(lambda: waiting(host) == 1, "a client that waits")
            assert client.poll() is None
            gate.unlink()
            output, _ = client.communicate(timeout=60)
        assert restart.wait(60) == 0
    assert (client.returncode, output.strip()) == (0, "qemu:///system")
    assert host.pid("libvirtd") != before
    assert inodes(host) == held


def test_the_sockets_are_those_that_the_daemons_would_make(
    host: LibvirtHost, tmp_path: Path
) -> None:
    with running(tmp_path / "other", activation=False) as other:
        assert sockets(host) == sockets(other)
    assert len(sockets(host)) == 7


def test_a_client_waits_for_libvirtd_while_it_is_restarted(host: LibvirtHost) -> None:
    assert_a_client_waits_for_a_restart(host)


def test_other_hosts_reach_it_without_listen(host: LibvirtHost) -> None:
    assert host.virsh("--connect", "qemu+tcp://127.0.0.1/system", "uri")
    assert "--listen" not in host.status("libvirtd")["command"]
    listening = host.namespaces.run("ss", "-Hltn").stdout
    assert "127.0.0.1:16509" in listening
    assert "16514" not in listening


def test_with_certificates_it_listens_for_tls(host: LibvirtHost) -> None:
    host.control("make-pki", "libvirtd", seconds=60)
    host.control("reload")
    host.control("restart", "libvirtd")
    done = host.namespaces.run("virsh", "-c", "qemu+tls://localhost/system", "uri", is_ok=False)
    assert done.returncode == 0, done.stderr
    assert "127.0.0.1:16514" in host.namespaces.run("ss", "-Hltn").stdout


def test_console_logs_go_on_over_a_reload_of_virtlogd(host: LibvirtHost) -> None:
    guest = Guest(host.namespaces)
    guest.start()
    before, virtlogd = inodes(host), host.pid("virtlogd")
    host.control("reload", "virtlogd")
    guest.assert_goes_on()
    host.virsh("destroy", guest.name)
    assert (inodes(host), host.pid("virtlogd")) == (before, virtlogd)
    host.virsh("start", guest.name)  # which needs virtlogd's socket
    host.virsh("destroy", guest.name)


@pytest.mark.parametrize("name", ["libvirtd", "virtlockd"])
def test_a_stopped_daemon_leaves_no_socket(host: LibvirtHost, name: str) -> None:
    stem = name.removesuffix("d")
    before = sockets(host)
    host.control("stop", name)
    assert not [socket for socket in sockets(host) if socket.startswith(stem)]
    host.control("start", name)
    assert sockets(host) == before


def test_the_sockets_outlive_the_death_of_virtsupd(host: LibvirtHost) -> None:
    before, pids = inodes(host), {name: host.pid(name) for name in NAMES}
    daemon = host.daemon_pid()
    host.namespaces.signal(daemon, "KILL")
    eventually(lambda: host.namespaces.start_time(daemon) is None, "the end of virtsupd")
    with successor(host):
        eventually(lambda: host.control("status", is_ok=False).returncode == 0, "another virtsupd")
        host.await_running(*NAMES)
        assert {name: host.pid(name) for name in NAMES} == pids
        assert inodes(host) == before
        assert_a_client_waits_for_a_restart(host)
        host.control("stop", "--guests", *reversed(NAMES))
        assert sockets(host) == {}
