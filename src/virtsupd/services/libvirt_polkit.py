"""What libvirtd does where its table wants polkit, and polkit or the system bus is missing.

libvirtd starts and serves root without either: polkit is asked about others. Only as an access driver
is it asked about everybody.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from virtsupd.config.problems import Fault
from virtsupd.services.libvirt_sockets import AuthTable

BUS: Final = "run/dbus/system_bus_socket"
SERVICE: Final = "dbus-1/system-services/org.freedesktop.PolicyKit1.service"
_SHARES: Final = ("usr/local/share", "usr/share", "run/current-system/profile/share")


def without_polkit(table: AuthTable, root: Path = Path("/")) -> Iterator[Fault]:
    """Yield warnings for keys that say "polkit", where it cannot be asked as the host is now.

    A default says nothing: it is meant for hosts of every kind. `root` is where the host's files are.
    """
    lack = _lack(root)
    if lack is None:
        return
    if "polkit" in table.access_drivers:
        yield (
            ("access_drivers",),
            f'"polkit" refuses every call of everybody, root included, while {lack}',
        )
    for key in ("auth_unix_ro", "auth_unix_rw"):
        if getattr(table, key) == "polkit" and key in table.model_fields_set:
            yield (key,), f'"polkit" lets only root in while {lack}; others need "none" or "sasl"'


def _lack(root: Path) -> str | None:
    if not any((root / share / SERVICE).exists() for share in _SHARES):
        return "polkit is not installed, as now"
    if not (root / BUS).is_socket():
        return f"there is no system bus (/{BUS}), as now"
    return None
