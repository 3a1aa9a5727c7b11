"""What virtlogd and virtlockd have in common: a file, a command that reads it, and logs."""

from virtsupd.config.kinds import Built, KindContext
from virtsupd.config.settings import GeneratedFile
from virtsupd.services.libvirt_host import log_refusals
from virtsupd.services.libvirt_limits import LogTable
from virtsupd.services.libvirt_unsafe import lost_logs
from virtsupd.services.package import PackageTable, program, search_path
from virtsupd.services.render import conf_text


class SmallTable(LogTable, PackageTable):
    """The least that such a daemon's table has."""


def small_daemon(unit: str, kind: str, table: SmallTable, context: KindContext) -> Built:
    """Return what the table changes in the unit, whose program has its name, and its file."""
    file = context.host.generated_dir / kind / f"{unit}.conf"
    keys = {
        "command": [program(unit, table.libvirt), "-f", str(file)],
        "environment": {"PATH": search_path([table.libvirt])},
        "autostart": table.autostart,
    }
    return Built(
        {unit: keys},
        files=(GeneratedFile(file, 0o644, conf_text(table)),),
        warnings=tuple(lost_logs(table)),
        host_faults=lambda: log_refusals(table),
    )
