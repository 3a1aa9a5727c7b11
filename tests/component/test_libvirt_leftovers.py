"""What libvirtd leaves running (guests, the dnsmasq of a network) is nobody's to end but libvirt's."""

from collections.abc import Iterator

import pytest
from tests.support.checks import eventually, text_of
from tests.support.guest import Guest
from tests.support.libvirt import LibvirtHost, libvirt_host, successor

pytestmark = [pytest.mark.component, pytest.mark.timeout(240)]

NETWORK = """
<network>
  <name>default</name>
  <bridge name='virbr0'/>
  <forward mode='nat'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp>
  </ip>
</network>
"""


class Left:
    """The processes that libvirtd left, and that each is still the same."""

    def __init__(self, host: LibvirtHost, guest: Guest) -> None:
        self._host = host
        self.guest = guest
        self.dnsmasq = pids_of(host, "dnsmasq")
        self._before = self._lives()

    def _lives(self) -> list[tuple[int, str | None]]:
        inside = self._host.namespaces
        return [
            self.guest.identity(),
            *((pid, inside.start_time(pid)) for pid in self.dnsmasq),
        ]

    def assert_goes_on(self) -> None:
        """See that none has ended, and that the guest works."""
        assert self._lives() == self._before
        self.guest.assert_goes_on()

    def is_gone(self, pid: int) -> bool:
        """Whether a process has ended and been waited for."""
        return not (self._host.namespaces.root / f"proc/{pid}").exists()


def pids_of(host: LibvirtHost, name: str) -> list[int]:
    """Return the processes inside with the kernel's name."""
    proc = host.namespaces.root / "proc"
    return sorted(
        int(path.name)
        for path in proc.iterdir()
        if path.name.isdecimal() and text_of(path / "comm") == f"{name}\n"
    )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    with libvirt_host(tmp_path_factory.mktemp("host")) as host:
        host.await_running("virtlogd", "libvirtd")
        yield host


@pytest.fixture(scope="module")
def left(host: LibvirtHost) -> Left:
    guest = Guest(host.namespaces)
    guest.start()
    network = host.namespaces.shared / "network.xml"
    network.write_text(NETWORK)
    host.virsh("net-define", str(network))
    host.virsh("net-start", "default")
    left = Left(host, guest)
    assert left.dnsmasq
    return left


def test_a_network_has_a_dnsmasq_from_the_path(host: LibvirtHost, left: Left) -> None:
    assert "yes" in host.virsh("net-info", "default")
    assert host.namespaces.run("ip", "-brief", "address", "show", "virbr0").stdout
    left.assert_goes_on()


@pytest.mark.parametrize("command", [("stop", "start"), ("restart",), ("reload",)])
def test_no_command_for_libvirtd_ends_them(
    host: LibvirtHost, left: Left, command: tuple[str, ...]
) -> None:
    for verb in command:
        host.control(verb, "libvirtd")
        left.assert_goes_on()
    assert "yes" in host.virsh("net-info", "default")


def test_a_crash_of_libvirtd_ends_none(host: LibvirtHost, left: Left) -> None:
    libvirtd = host.pid("libvirtd")
    host.namespaces.signal(libvirtd, "KILL")
    host.await_replacement("libvirtd", of=libvirtd)
    left.assert_goes_on()


def test_none_is_taken_for_libvirtd_when_all_have_died(host: LibvirtHost, left: Left) -> None:
    """The last test but one on this host: it goes on under another virtsupd."""
    daemon, libvirtd = host.daemon_pid(), host.pid("libvirtd")
    host.namespaces.run("kill", "-KILL", str(daemon), str(libvirtd))
    eventually(lambda: host.namespaces.start_time(daemon) is None, "the end of virtsupd")
    with successor(host):
        eventually(lambda: host.control("status", is_ok=False).returncode == 0, "another virtsupd")
        host.await_replacement("libvirtd", of=libvirtd)
        assert host.pid("libvirtd") not in left.dnsmasq
        left.assert_goes_on()
        host.control("stop", "libvirtd")
        left.assert_goes_on()
        host.control("start", "libvirtd")
        assert "yes" in host.virsh("net-info", "default")
        host.control("quit")
    left.assert_goes_on()


def test_what_ends_later_is_waited_for_and_a_shutdown_ends_no_network(
    host: LibvirtHost, left: Left
) -> None:
    # The namespaces end when their first process has no child, and virtsupd is none of its own.
    host.namespaces.run("sh", "-c", "sleep 1000 >/dev/null 2>&1 &")
    with successor(host) as virtsupd:
        host.await_running("virtlogd", "libvirtd")
        host.control("stop", "libvirtd")
        qemu, _ = left.guest.identity()
        for pid in (qemu, *left.dnsmasq):
            host.namespaces.run("kill", "-TERM", str(pid), is_ok=False)
        gone = [qemu, *left.dnsmasq]
        eventually(lambda: all(map(left.is_gone, gone)), "the ends of all")
        host.control("start", "libvirtd")
        host.virsh("net-destroy", "default")
        host.virsh("net-start", "default")
        others = pids_of(host, "dnsmasq")
        assert others
        host.control("shutdown")
        assert virtsupd.wait(60) == 0
        assert pids_of(host, "dnsmasq") == others
