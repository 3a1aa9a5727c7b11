"""Facts of the host that conditions wait for: interfaces and addresses, mounts, device nodes.

Each function is one look, and says what is missing instead of merely "no": the answer is None when
the fact holds, else a reason for people.
"""

import contextlib
import fcntl
import re
import socket
import struct
from collections.abc import Iterator
from os.path import realpath
from pathlib import Path

from virtsupd.core.frozen import frozen
from virtsupd.core.spec import HostCheck
from virtsupd.process import netlink
from virtsupd.process.holders import is_running, unix_listeners

_SIOCGIFFLAGS = 0x8913
_IFF_UP = 0x1
_IF_NAME_BYTES = 16
_IF_REQUEST = struct.Struct("16sH14x")

_ADDRESS = struct.Struct("=BBBBi")  # ifaddrmsg: family, prefix length, flags, scope, interface
_RTM_NEWADDR = 20
_RTM_GETADDR = 22
_SCOPE_GLOBAL = 0
_UNUSABLE = 0x40 | 0x08  # IPv6: tentative, or found to be somebody else's

UDEV_SOCKET = "/run/udev/control"
_UDEV_DAEMONS = ("systemd-udevd", "udevd")


@frozen
class Mount:
    """One line of the mount table."""

    path: str
    file_system: str


def missing(check: HostCheck) -> str | None:
    """Return why a fact of the host does not hold, or None if it does."""
    if check is HostCheck.LOOPBACK:
        return None if is_up("lo") else "the loopback interface lo is down or missing"
    if check is HostCheck.NETWORKING:
        return None if has_global_address() else "no interface but lo is up with a global address"
    return _missing_udev()


def is_up(interface: str) -> bool:
    """Return whether a network interface exists and is up."""
    request = _IF_REQUEST.pack(interface.encode()[: _IF_NAME_BYTES - 1], 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request)
        except OSError:
            return False
    return bool(_IF_REQUEST.unpack(answer)[1] & _IFF_UP)


def has_global_address() -> bool:
    """Return whether an interface other than lo is up and has a usable address of global scope."""
    with contextlib.suppress(OSError):
        return any(name != "lo" and is_up(name) for name in _interfaces_with_address())
    return False


def mounts() -> tuple[Mount, ...]:
    """Return the mount table of our namespace, in its order: a later mount covers an earlier one."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ()
    return tuple(_parse_mount(line) for line in lines)


def missing_mount(path: str, file_system: str | None) -> str | None:
    """Return why nothing (of that type) is mounted at `path`, or None if something is."""
    real = realpath(path)
    found = [mount.file_system for mount in mounts() if mount.path == real]
    if not found:
        return f"nothing is mounted at {path}"
    if file_system is not None and found[-1] != file_system:
        return f"{found[-1]} is mounted at {path}, not {file_system}"
    return None


def _parse_mount(line: str) -> Mount:
    # id parent device root PATH options [tags …] - TYPE source options
    before, _, after = line.partition(" - ")
    return Mount(_unescape(before.split(" ")[4]), after.split(" ")[0])


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _missing_udev() -> str | None:
    """Return what is missing of udev: its control socket, or, where no udevd runs, the kernel's own /dev.

    An installed udevd that nobody started (a container, an initramfs) is not waited for. Where
    one is started at boot, the init system has it up before virtsupd.
    """
    if unix_listeners(UDEV_SOCKET):
        return None
    if is_running(_UDEV_DAEMONS):
        return f"udevd runs, and nobody listens on {UDEV_SOCKET} yet"
    if missing_mount("/dev", "devtmpfs") is not None:
        return f"nobody listens on {UDEV_SOCKET}, and /dev is not kept by the kernel (devtmpfs)"
    return None


# rtnetlink(7): one dump of all addresses of both families


def _interfaces_with_address() -> Iterator[str]:
    seen = set()
    body = _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    for kind, content in netlink.dump(socket.NETLINK_ROUTE, _RTM_GETADDR, body):
        if kind != _RTM_NEWADDR:
            continue
        _, _, flags, scope, index = _ADDRESS.unpack_from(content)
        if scope == _SCOPE_GLOBAL and not flags & _UNUSABLE and index not in seen:
            seen.add(index)
            with contextlib.suppress(OSError):  # the interface may be gone by now
                yield socket.if_indextoname(index)
