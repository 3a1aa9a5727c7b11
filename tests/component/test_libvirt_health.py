"""A daemon of libvirt that hangs is noticed, on the real ones with a real guest."""

from collections.abc import Iterator

import pytest
from tests.support.checks import eventually
from tests.support.guest import Guest
from tests.support.libvirt import LibvirtHost, libvirt_host

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]

# The built-in times would make these tests take minutes; all else is as built in.
TABLES = """
[libvirt]

[service.libvirtd]
health = { interval = "500ms", timeout = "4s", failures = 2 }
stop = { delay = "1s" }

[service.virtlogd]
health = { interval = "500ms", timeout = "4s", failures = 2 }
"""
SECONDS = 60.0


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    with libvirt_host(tmp_path_factory.mktemp("host"), tables=TABLES) as host:
        host.await_running("virtlogd", "libvirtd")
        yield host


@pytest.fixture(scope="module")
def guest(host: LibvirtHost) -> Guest:
    guest = Guest(host.namespaces)
    guest.start()
    return guest


def test_a_libvirtd_that_hangs_is_replaced_and_its_guest_runs_on(
    host: LibvirtHost, guest: Guest
) -> None:
    before, libvirtd = guest.identity(), host.pid("libvirtd")
    host.namespaces.signal(libvirtd, "STOP")

    def is_replaced() -> bool:
        service = host.status("libvirtd")
        return service["state"] == "running" and service["pid"] not in {None, libvirtd}

    eventually(is_replaced, "another libvirtd", seconds=SECONDS)
    assert host.virsh("domstate", guest.name) == "running"
    assert guest.identity() == before
    guest.assert_goes_on()


def test_a_virtlogd_that_hangs_is_told_of_and_not_replaced(host: LibvirtHost, guest: Guest) -> None:
    virtlogd = host.pid("virtlogd")
    host.namespaces.signal(virtlogd, "STOP")
    try:
        eventually(lambda: is_degraded(host), "a degraded virtlogd", seconds=SECONDS)
        assert host.pid("virtlogd") == virtlogd
    finally:
        host.namespaces.signal(virtlogd, "CONT")
    eventually(lambda: not is_degraded(host), "a healthy virtlogd", seconds=SECONDS)
    guest.assert_goes_on()


def is_degraded(host: LibvirtHost) -> bool:
    reason = host.status("virtlogd")["reason"]
    return reason is not None and reason["kind"] == "degraded"
