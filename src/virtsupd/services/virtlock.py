"""`[virtlock]`: the daemon that keeps two guests from writing to one disk."""

from typing import Annotated

from virtsupd.config.kinds import Built, KindContext, KindParts
from virtsupd.services.libvirt_held import LockGuard
from virtsupd.services.libvirt_small import LOG_KEYS, SmallTable, small_daemon
from virtsupd.services.libvirt_values import Unsigned
from virtsupd.services.render import ConfKey


class VirtlockTable(SmallTable):
    """All that virtlockd reads of virtlockd.conf. The specification has no such table."""

    max_clients: Annotated[Unsigned, ConfKey()] = 1024
    """Connections at the same time, 0 to 4294967295; every running guest needs one."""
    admin_max_clients: Annotated[Unsigned, ConfKey()] = 5
    """Connections to the socket that manages the daemon, 0 to 4294967295."""


def build(table: VirtlockTable, context: KindContext) -> Built:
    """Return what the table changes in the unit virtlockd, and its virtlockd.conf."""
    return small_daemon("virtlockd", "virtlock", table, context, reread=LOG_KEYS)


VIRTLOCK = KindParts(VirtlockTable, build, stop_guard=LockGuard(), guarded=frozenset({"virtlockd"}))
