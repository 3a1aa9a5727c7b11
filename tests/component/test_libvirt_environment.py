"""What libvirtd has around it when virtsupd starts it where nobody else has prepared anything."""

import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.guest import Guest
from tests.support.libvirt import COMMANDS, LibvirtHost, libvirt_host

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]

TABLES = """
[virtlock]

[libvirt]
qemu = "/run/prefix of qemu"
unix_sock_dir = "{shared}/sockets"
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    shared = tmp_path_factory.mktemp("host")
    with libvirt_host(shared, tables=TABLES.format(shared=shared)) as host:
        host.await_running("virtlogd", "virtlockd", "libvirtd")
        programs = host.namespaces.root / "run/prefix of qemu/bin"  # a private /run
        programs.mkdir(parents=True)
        (programs / "qemu-system-x86_64").symlink_to("/usr/bin/qemu-system-x86_64")
        host.control("restart", "libvirtd")
        for name in ("libvirt-sock", "libvirt-sock-ro"):
            (shared / "libvirt" / name).symlink_to(shared / "sockets" / name)
        yield host


def limits(host: LibvirtHost, name: str) -> dict[str, str]:
    """Return the soft limits of a daemon by the kernel's names."""
    text = (host.namespaces.root / f"proc/{host.pid(name)}/limits").read_text()
    return dict(re.findall(r"^(Max .+?)  +(\S+)", text, re.MULTILINE))


def test_qemu_of_the_prefix_comes_first(host: LibvirtHost) -> None:
    found = host.virsh("domcapabilities", "--virttype", "qemu", "--arch", "x86_64")
    assert "<path>/run/prefix of qemu/bin/qemu-system-x86_64</path>" in found


def test_a_guest_has_what_it_needs_in_a_fresh_container(host: LibvirtHost) -> None:
    root = host.namespaces.root
    modes = {
        path: f"{(root / path).stat().st_mode & 0o777:o}"
        for path in (
            *("var/log/libvirt/qemu", "var/lib/libvirt/qemu", "var/lib/libvirt/images"),
            "var/lib/libvirt/boot",
        )
    }
    assert list(modes.values()) == ["755", "750", "711", "711"]
    Guest(host.namespaces).start()
    owner = (root / "var/lib/libvirt/qemu").stat().st_uid
    qemu, _ = Guest(host.namespaces).identity()
    assert (root / f"proc/{qemu}").stat().st_uid == owner != 0


def test_the_daemons_have_the_limits_of_debians_units(host: LibvirtHost) -> None:
    assert limits(host, "libvirtd")["Max open files"] == "8192"
    assert limits(host, "libvirtd")["Max locked memory"] == str(allowed_memlock())
    assert limits(host, "virtlogd")["Max open files"] == "16384"
    assert limits(host, "virtlockd")["Max processes"] == limits(host, "libvirtd")["Max processes"]


def allowed_memlock() -> int:
    """Return 64 MiB, or what this host may not raise."""
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    can_raise = has_capability(24)
    return 64 * 1024**2 if can_raise or hard < 0 else min(hard, 64 * 1024**2)


def has_capability(number: int) -> bool:
    status = Path("/proc/self/status").read_text()
    [mask] = re.findall(r"^CapEff:\s*(\w+)$", status, re.MULTILINE)
    return bool(int(mask, 16) >> number & 1)


def test_root_is_served_without_polkit_and_system_bus(host: LibvirtHost) -> None:
    assert not (host.namespaces.root / "run/dbus").exists()
    assert os.geteuid() == 0
    assert host.virsh("list", "--name") is not None


def test_check_says_what_polkit_that_is_missing_would_do(host: LibvirtHost) -> None:
    shared = host.namespaces.shared
    file = shared / "other.toml"
    text = (shared / "host.toml").read_text()
    file.write_text(f'{text}access_drivers = ["polkit"]\nauth_unix_rw = "polkit"\n')
    done = host.namespaces.run(
        str(COMMANDS / "virtsupd"), "--check", "--config", str(file), is_ok=False
    )
    told = done.stdout + done.stderr
    assert re.search(r"libvirt.access_drivers: .* every call .* root included", told)
    assert re.search(r"libvirt.auth_unix_rw: .* lets only root in", told)
