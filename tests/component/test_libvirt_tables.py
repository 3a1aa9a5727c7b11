"""What tables of libvirt's daemons become, under virtsupd, on real ones."""

import socket
from collections.abc import Iterator

import pytest
from tests.support.libvirt import LibvirtHost, libvirt_host

pytestmark = [pytest.mark.component, pytest.mark.timeout(120)]

TABLES = """
[virtlock]
max_clients = 4096

[libvirt]
unix_sock_rw_perms = "0700"
log_outputs = "3:stderr 2:file:/var/log/libvirt/libvirtd.log"
listen_tcp = true
auth_tcp = "none"
listen_addr = "127.0.0.1"
tcp_port = "16555"
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    with libvirt_host(tmp_path_factory.mktemp("host"), tables=TABLES) as host:
        host.await_running("virtlogd", "virtlockd", "libvirtd")
        yield host


def test_virtlockd_is_ready_before_libvirtd(host: LibvirtHost) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(host.namespaces.shared / "libvirt/virtlockd-sock"))
    graph = host.control("graph", "libvirtd").stdout
    assert "virtlockd (optional)" in graph


def test_a_reload_of_virtlockd_keeps_it_with_its_locks(host: LibvirtHost) -> None:
    before = host.pid("virtlockd")
    host.control("reload", "virtlockd")
    assert host.status("virtlockd")["state"] == "running"
    assert host.pid("virtlockd") == before
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(host.namespaces.shared / "libvirt/virtlockd-sock"))


def test_restarting_virtlockd_restarts_nothing_else(host: LibvirtHost) -> None:
    libvirtd, virtlogd, virtlockd = map(host.pid, ("libvirtd", "virtlogd", "virtlockd"))
    host.control("restart", "virtlockd")
    assert host.pid("virtlockd") != virtlockd
    assert (host.pid("libvirtd"), host.pid("virtlogd")) == (libvirtd, virtlogd)


def test_tcp_listens_where_it_was_asked_to_and_tls_is_off_for_a_reason(host: LibvirtHost) -> None:
    uri = "qemu+tcp://127.0.0.1:16555/system"
    host.namespaces.run("virsh", "--connect", uri, "--quiet", "list")
    listening = host.namespaces.run("ss", "-Hltn").stdout
    assert "16514" not in listening
    about = host.control("status", "libvirtd").stdout
    assert "TLS is off: /etc/pki/libvirt/private/serverkey.pem" in " ".join(about.split())


def test_permissions_and_log_files_are_as_the_table_says(host: LibvirtHost) -> None:
    sockets = host.namespaces.shared / "libvirt"
    assert (sockets / "libvirt-sock").stat().st_mode & 0o777 == 0o700
    assert (sockets / "libvirt-sock-ro").stat().st_mode & 0o777 == 0o777
    assert (host.namespaces.root / "var/log/libvirt/libvirtd.log").is_file()
