"""What virtlogd and virtlockd have in common: a file, a command that reads it, and logs."""

from functools import partial
from typing import Final

from virtsupd.config.kinds import Built, KindContext
from virtsupd.config.settings import GeneratedFile
from virtsupd.core.names import Name
from virtsupd.services.libvirt_actions import admin_actions
from virtsupd.services.libvirt_activation import small_sockets
from virtsupd.services.libvirt_health import small_watch
from virtsupd.services.libvirt_host import log_refusals
from virtsupd.services.libvirt_limits import LogTable
from virtsupd.services.libvirt_sockets import OWN_SOCKET_DIRS
from virtsupd.services.libvirt_unsafe import lost_logs
from virtsupd.services.package import PackageTable, program, search_path
from virtsupd.services.render import conf_text

LOG_KEYS: Final = frozenset({"log_level", "log_filters", "log_outputs"})
"""What both read again when they execute themselves anew (measured with libvirt 9.0)."""


class SmallTable(LogTable, PackageTable):
    """The least that such a daemon's table has."""


def small_daemon(
    unit: str, kind: str, table: SmallTable, context: KindContext, *, reread: frozenset[str]
) -> Built:
    """Return what the table changes in the unit, whose program has its name, and its file.

    `reread` are the keys of the file that the daemon reads again at its reload.
    """
    file = context.host.generated_dir / kind / f"{unit}.conf"
    refusals = partial(log_refusals, table)
    watch = small_watch(unit, OWN_SOCKET_DIRS[1], table.libvirt)
    keys: dict[str, object] = {
        "command": [program(unit, table.libvirt), "-f", str(file)],
        "environment": {"PATH": search_path([table.libvirt])},
        "autostart": table.autostart,
        "actions": admin_actions(unit, OWN_SOCKET_DIRS[1], table, table.libvirt),
        **watch.keys,
    }
    if table.activation:
        keys["sockets"] = small_sockets(unit)
    return Built(
        {unit: keys},
        files=(
            GeneratedFile(file, 0o644, conf_text(table), Name(unit), reread, refusals=refusals),
        ),
        warnings=(*lost_logs(table), *watch.warnings),
        host_faults=refusals,
    )
