"""`[virtlog]`: the daemon that keeps the logs of virtual machine consoles."""

from typing import Annotated

from virtsupd.config.kinds import Built, KindContext, KindParts
from virtsupd.config.model import KindTable
from virtsupd.config.settings import GeneratedFile
from virtsupd.config.values import AbsolutePath, Bytes
from virtsupd.services.libvirt_values import LogFilters, LogLevel, LogOutputs, Unsigned
from virtsupd.services.package import program, search_path
from virtsupd.services.render import ConfKey, conf_text


class VirtlogTable(KindTable):
    """The fields of virtlog-configuration."""

    libvirt: AbsolutePath | None = None
    log_level: Annotated[LogLevel, ConfKey()] = 3
    log_filters: Annotated[LogFilters, ConfKey()] = "3:remote 4:event"
    log_outputs: Annotated[LogOutputs, ConfKey()] = "3:stderr"
    max_clients: Annotated[Unsigned, ConfKey()] = 1024
    max_size: Annotated[Bytes, ConfKey()] = 2 * 1024 * 1024
    max_backups: Annotated[Unsigned, ConfKey()] = 3


def build(table: VirtlogTable, context: KindContext) -> Built:
    """Return what the table changes in the unit virtlogd, and its virtlogd.conf."""
    file = context.host.generated_dir / "virtlog" / "virtlogd.conf"
    keys = {
        "command": [program("virtlogd", table.libvirt), "-f", str(file)],
        "environment": {"PATH": search_path([table.libvirt])},
        "autostart": table.autostart,
    }
    return Built({"virtlogd": keys}, files=(GeneratedFile(file, 0o644, conf_text(table)),))


VIRTLOG = KindParts(VirtlogTable, build)
