"""Directories that libvirtd expects, or makes with other modes than a distribution's package.

In a container that has the programs alone nobody has made them. libvirtd makes most of what it needs
below `/var/lib/libvirt` and `/var/cache/libvirt`, readable for everybody, and not the one of console
logs: a guest with a log on its console would not start. What is there stays as it is.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from virtsupd.config.settings import GeneratedDirectory
from virtsupd.services.libvirt_sockets import OWN_SOCKET_DIRS

_STATE: Final = {
    "log/libvirt/qemu": 0o755,
    "lib/libvirt/qemu": 0o750,  # libvirtd gives it to the user of its guests
    "lib/libvirt/images": 0o711,
    "lib/libvirt/boot": 0o711,
    "cache/libvirt": 0o711,
}
"""Below /var, with the modes of Debian's package."""


def libvirt_directories(socket_dir: str, prefix: str | None) -> Iterator[GeneratedDirectory]:
    """Yield what is made, of root, before libvirtd starts for the first time.

    A libvirt with a prefix that has a `var` of its own has its state there.
    """
    own = Path(prefix or "/") / "var"
    var = own if own.is_dir() else Path("/var")
    for name, mode in _STATE.items():
        yield GeneratedDirectory(var / name, mode)
    if socket_dir not in OWN_SOCKET_DIRS:
        # libvirtd makes only the one that it was built with.
        yield GeneratedDirectory(Path(socket_dir), 0o755)
