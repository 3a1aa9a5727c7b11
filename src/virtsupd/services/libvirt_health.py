"""How virtsupd sees that a daemon of libvirt answers, and what it does if it does not.

libvirtd is asked for the guests that run. That goes through all that a client needs, and nothing
else: a question for its version starts QEMU wherever libvirt cannot keep what it learned of it, and
fails with a broken QEMU, which no restart of libvirtd would mend. It is restarted, which harms no
guest. virtlogd and virtlockd are not: guests would lose console logs and locks for good.

The sockets for managing the daemons answer whoever else is connected, and whatever polkit says.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from virtsupd.config.problems import Fault
from virtsupd.services.libvirt_asking import admin_uri
from virtsupd.services.libvirt_guests import local_uri
from virtsupd.services.package import program, search_path

_TIMES: Final = {"interval": "60s", "timeout": "30s", "failures": 3}
_FEW_CLIENTS: Final = 20
"""So few may all be connected for long, and a question that waits for its turn is no bad sign."""
_FEW_MANAGERS: Final = 2
"""The same of the sockets for managing."""
_UNSEEN: Final = "so that nobody sees whether it answers"


class Asked(Protocol):
    """What `[libvirt]` says of who may ask."""

    @property
    def libvirt(self) -> str | None: ...  # noqa: D102 - as in the table, like those below
    @property
    def unix_sock_dir(self) -> str: ...  # noqa: D102
    @property
    def auth_unix_rw(self) -> str: ...  # noqa: D102
    @property
    def access_drivers(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def max_clients(self) -> int: ...  # noqa: D102
    @property
    def admin_max_clients(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Watch:
    """What a unit's keys and a table's warnings say of it."""

    keys: dict[str, object] = field(default_factory=dict)
    """The key `health`, or none where nobody can ask."""
    warnings: tuple[Fault, ...] = ()


def libvirtd_watch(table: Asked) -> Watch:
    """Return how libvirtd is watched: as a client does, or past what may hold a client up."""
    needs_more = table.auth_unix_rw == "sasl" or "polkit" in table.access_drivers
    if not needs_more and table.max_clients >= _FEW_CLIENTS:
        virsh = program("virsh", table.libvirt)
        uri = local_uri(table.unix_sock_dir)
        return _watch(
            [virsh, "--quiet", "--connect", uri, "list", "--id"], table.libvirt, "restart"
        )
    if table.admin_max_clients < _FEW_MANAGERS:
        text = f"only {table.admin_max_clients} may manage libvirtd at once, {_UNSEEN}"
        return Watch(warnings=((("admin_max_clients",), text),))
    uri = admin_uri("libvirtd", table.unix_sock_dir)
    return _watch(_servers(uri, table.libvirt), table.libvirt, "restart")


def small_watch(daemon: str, socket_dir: str, prefix: str | None) -> Watch:
    """Return how virtlogd or virtlockd is watched; `prefix` is its libvirt's, None for PATH."""
    return _watch(_servers(admin_uri(daemon, socket_dir), prefix), prefix, "degrade")


def _servers(uri: str, prefix: str | None) -> list[str]:
    return [program("virt-admin", prefix), "--quiet", "--connect", uri, "srv-list"]


def _watch(command: list[str], prefix: str | None, on_failure: str) -> Watch:
    if shutil.which(command[0], path=search_path([prefix])) is None:
        text = f"there is no {command[0]} (of libvirt-clients) here, {_UNSEEN}"
        return Watch(warnings=(((), text),))
    return Watch(
        {"health": {"kind": "exec", "command": command, **_TIMES, "on_failure": on_failure}}
    )
