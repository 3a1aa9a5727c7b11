"""The promises, on real virtlogd and libvirtd with a real guest."""

import socket
import time
from collections.abc import Iterator

import pytest
from tests.support.checks import eventually
from tests.support.guest import Guest
from tests.support.libvirt import LibvirtHost, libvirt_host
from tests.support.namespaces import cgroups_named

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]

FIRST_ANSWER_SECONDS = 5.0
"""Over a minute where nobody reaps the QEMUs that libvirtd asks for their capabilities."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    with libvirt_host(tmp_path_factory.mktemp("host")) as host:
        host.await_running("virtlogd", "libvirtd")
        yield host


@pytest.fixture(scope="module")
def guest(host: LibvirtHost) -> Guest:
    guest = Guest(host.namespaces)
    guest.start()
    return guest


def test_libvirtd_answers_within_five_seconds_of_ready(host: LibvirtHost) -> None:
    begin = time.monotonic()
    assert "Running hypervisor: QEMU" in host.virsh("version")
    assert time.monotonic() - begin < FIRST_ANSWER_SECONDS


@pytest.mark.parametrize("name", ["virtlogd-sock", "libvirt-sock", "libvirt-sock-ro"])
def test_what_is_ready_accepts_connections(host: LibvirtHost, name: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(host.namespaces.shared / "libvirt" / name))


def test_a_guest_survives_stop_and_start_of_libvirtd(host: LibvirtHost, guest: Guest) -> None:
    before = guest.identity()
    host.control("stop", "libvirtd")
    assert host.status("libvirtd")["state"] == "stopped"
    assert not list((host.namespaces.shared / "libvirt").glob("libvirt-*sock*"))
    guest.assert_goes_on()
    host.control("start", "libvirtd")
    assert host.virsh("domstate", guest.name) == "running"
    assert guest.identity() == before


def test_a_guest_survives_restart_of_libvirtd(host: LibvirtHost, guest: Guest) -> None:
    before, libvirtd = guest.identity(), host.pid("libvirtd")
    host.control("restart", "libvirtd")
    assert host.pid("libvirtd") != libvirtd
    assert host.virsh("domstate", guest.name) == "running"
    assert guest.identity() == before
    guest.assert_goes_on()


def test_a_guest_survives_the_death_of_libvirtd(host: LibvirtHost, guest: Guest) -> None:
    before, libvirtd = guest.identity(), host.pid("libvirtd")
    host.namespaces.signal(libvirtd, "KILL")
    host.await_replacement("libvirtd", of=libvirtd)
    assert host.virsh("domstate", guest.name) == "running"
    assert guest.identity() == before
    guest.assert_goes_on()


def test_a_guest_and_its_console_log_survive_reload_of_virtlogd(
    host: LibvirtHost, guest: Guest
) -> None:
    before, virtlogd = guest.identity(), host.pid("virtlogd")
    assert f"{guest.name}-console.log" in open_files(host, virtlogd)
    host.control("reload", "virtlogd")
    guest.assert_goes_on()
    assert host.pid("virtlogd") == virtlogd
    assert guest.identity() == before


def open_files(host: LibvirtHost, pid: int) -> set[str]:
    """Return the names of the files that a process inside has open."""
    descriptors = (host.namespaces.root / f"proc/{pid}/fd").iterdir()
    return {descriptor.readlink().name for descriptor in descriptors}


def test_a_guest_survives_reload_of_libvirtd(host: LibvirtHost, guest: Guest) -> None:
    before, libvirtd = guest.identity(), host.pid("libvirtd")
    host.control("reload", "libvirtd")
    assert host.virsh("domstate", guest.name) == "running"
    assert (host.pid("libvirtd"), guest.identity()) == (libvirtd, before)
    guest.assert_goes_on()


def test_a_guest_is_no_part_of_libvirtd(host: LibvirtHost, guest: Guest) -> None:
    pid, _ = guest.identity()
    [line] = [
        line
        for line in (host.namespaces.root / f"proc/{pid}/cgroup").read_text().splitlines()
        if line.startswith("0::")
    ]
    assert host.cgroup not in line


def test_a_guest_and_the_services_survive_the_death_of_virtsupd(
    host: LibvirtHost, guest: Guest
) -> None:
    """The last test on this host: nothing supervises it afterwards."""
    before, libvirtd, virtlogd = guest.identity(), host.pid("libvirtd"), host.pid("virtlogd")
    host.namespaces.signal(host.daemon_pid(), "KILL")
    guest.assert_goes_on()
    assert host.namespaces.start_time(libvirtd)
    assert host.namespaces.start_time(virtlogd)
    assert host.virsh("domstate", guest.name) == "running"
    assert guest.identity() == before
    eventually(lambda: host.control("status", is_ok=False).returncode == 6, "an unreachable socket")


@pytest.mark.parametrize("how", ["shutdown", "SIGTERM"])
def test_a_shutdown_leaves_nothing(host_without_guest: LibvirtHost, how: str) -> None:
    host = host_without_guest
    if how == "shutdown":
        host.control("shutdown")
    else:
        host.namespaces.signal(host.daemon_pid(), "TERM")
    assert host.namespaces.wait() == 0
    shared = host.namespaces.shared
    assert not (shared / "control").exists()
    assert [path.name for path in (shared / "libvirt").iterdir() if path.is_socket()] == []
    assert cgroups_named(host.cgroup) == []


@pytest.fixture
def host_without_guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    with libvirt_host(tmp_path_factory.mktemp("host")) as host:
        host.await_running("virtlogd", "libvirtd")
        yield host


def test_virtsupd_serves_as_the_first_process_of_a_container(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with libvirt_host(tmp_path_factory.mktemp("host"), is_first=True) as host:
        host.await_running("virtlogd", "libvirtd")
        begin = time.monotonic()
        host.virsh("version")
        assert time.monotonic() - begin < FIRST_ANSWER_SECONDS
        host.namespaces.signal(1, "TERM")
        assert host.namespaces.wait() == 0
        assert cgroups_named(host.cgroup) == []
