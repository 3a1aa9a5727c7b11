"""A real guest that holds the lock of its disk through virtlockd, and what ends neither of them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.guest import Guest
from tests.support.libvirt import LibvirtHost, libvirt_host

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]

DISK = "/var/lib/libvirt/images/db1.img"
DEVICES = f"""
<disk type='file' device='disk'>
  <driver name='qemu' type='raw'/><source file='{DISK}'/><target dev='vda'/>
</disk>
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    shared = tmp_path_factory.mktemp("host")
    with libvirt_host(shared, tables="[virtlock]\n[libvirt]\n") as host:
        host.await_running("virtlogd", "virtlockd", "libvirtd")
        root = host.namespaces.root
        (root / "etc/libvirt/qemu.conf").write_text('lock_manager = "lockd"\n')
        host.control("restart", "libvirtd")
        disk = root / DISK.lstrip("/")
        disk.parent.mkdir(exist_ok=True)
        with disk.open("wb") as file:
            file.truncate(16 * 1024 * 1024)
        yield host


@pytest.fixture(scope="module")
def guest(host: LibvirtHost) -> Guest:
    guest = Guest(host.namespaces, "db1", devices=DEVICES)
    guest.start()
    return guest


def is_locked(host: LibvirtHost) -> bool:
    """Whether virtlockd holds the lock of the guest's disk."""
    facts = (host.namespaces.root / DISK.lstrip("/")).stat()
    file = f" {os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino} "
    locks = Path("/proc/locks").read_text().splitlines()
    return any(file in line and " POSIX " in line for line in locks)


@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_a_stop_that_would_cost_a_guest_its_lock_is_refused(
    host: LibvirtHost, guest: Guest, verb: str
) -> None:
    before = host.pid("virtlockd")
    assert is_locked(host)
    done = host.control(verb, "virtlockd", is_ok=False)
    assert done.returncode == 1
    assert "guest db1" in done.stderr
    assert "virtsupctl reload virtlockd" in done.stderr
    assert host.pid("virtlockd") == before
    assert is_locked(host)


def test_a_reload_keeps_the_lock(host: LibvirtHost, guest: Guest) -> None:
    before = guest.identity(), host.pid("virtlockd")
    host.control("reload", "virtlockd")
    guest.assert_goes_on()
    assert (guest.identity(), host.pid("virtlockd")) == before
    assert is_locked(host)


def test_stopping_and_killing_libvirtd_keeps_the_lock(host: LibvirtHost, guest: Guest) -> None:
    before = guest.identity()
    host.control("restart", "libvirtd")
    libvirtd = host.pid("libvirtd")
    host.namespaces.signal(libvirtd, "KILL")
    host.await_replacement("libvirtd", of=libvirtd)
    assert host.virsh("domstate", guest.name) == "running"
    assert guest.identity() == before
    assert is_locked(host)


def test_a_stop_that_is_forced_ends_no_guest(host: LibvirtHost, guest: Guest) -> None:
    """By its own stop signal virtlockd would end the guests that hold locks."""
    before = guest.identity()
    host.control("stop", "--force", "virtlockd")
    assert host.status("virtlockd")["state"] == "stopped"
    guest.assert_goes_on()
    assert not is_locked(host)
    host.control("start", "virtlockd")
    guest.assert_goes_on()
    assert guest.identity() == before


def test_a_guest_that_is_started_anew_has_its_lock_again(host: LibvirtHost, guest: Guest) -> None:
    guest.start_anew()
    assert is_locked(host)


def test_a_crash_of_virtlockd_ends_no_guest(host: LibvirtHost, guest: Guest) -> None:
    before, virtlockd = guest.identity(), host.pid("virtlockd")
    host.namespaces.signal(virtlockd, "KILL")
    host.await_replacement("virtlockd", of=virtlockd)
    guest.assert_goes_on()
    assert guest.identity() == before
