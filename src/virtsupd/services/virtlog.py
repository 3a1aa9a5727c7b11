"""`[virtlog]`: the daemon that keeps the logs of virtual machine consoles."""

from typing import Annotated, Final

from virtsupd.config.kinds import Built, KindContext, KindParts
from virtsupd.config.values import Bytes
from virtsupd.services.libvirt_held import ConsoleGuard
from virtsupd.services.libvirt_small import LOG_KEYS, SmallTable, small_daemon
from virtsupd.services.libvirt_values import Unsigned
from virtsupd.services.render import ConfKey

_REREAD: Final = LOG_KEYS | {"max_size", "max_backups"}
"""Also for the logs that are open already (measured with libvirt 9.0); max_clients is read once."""


class VirtlogTable(SmallTable):
    """The fields of virtlog-configuration."""

    max_clients: Annotated[Unsigned, ConfKey()] = 1024
    """Connections at the same time, 0 to 4294967295; each console log needs one while its guest
    starts."""
    max_size: Annotated[Bytes, ConfKey()] = 2 * 1024 * 1024
    """Bytes (or "2MB") at which a console log is rolled over; 0: never, so that a guest can fill the
    disk. Keep it below the size in logrotate's own file."""
    max_backups: Annotated[Unsigned, ConfKey()] = 3
    """Rolled files kept beside the one in use, 0 to 4294967295."""


def build(table: VirtlogTable, context: KindContext) -> Built:
    """Return what the table changes in the unit virtlogd, and its virtlogd.conf."""
    return small_daemon("virtlogd", "virtlog", table, context, reread=_REREAD)


VIRTLOG = KindParts(VirtlogTable, build, stop_guard=ConsoleGuard(), guarded=frozenset({"virtlogd"}))
