"""The actions of a machine: what leads into it, and what is asked of it.

All of them run in virtsupctl, with the rights of whoever asks: root may open its sockets, and a group if one is named.
"""

from collections.abc import Iterator
from typing import Final

from virtsupd.config.kinds import KindContext
from virtsupd.core.names import Name, file_name
from virtsupd.services.machine_parts import Parts
from virtsupd.services.package import module

_NO_SECRETS: Final = "-"


def machine_actions(
    name: str, parts: Parts, display: int | None, context: KindContext
) -> dict[str, object]:
    """Return them, as far as a machine has what they need; its log shows what the console said before."""
    log = str(context.host.log_dir / f"{file_name(Name(name))}.log")
    return {
        action: {"command": module(*command), "description": about, "interactive": True, **more}
        for action, command, about, more in _actions(name, parts, display, log)
    }


def _actions(
    name: str, parts: Parts, display: int | None, log: str
) -> Iterator[tuple[str, tuple[str, ...], str, dict[str, object]]]:
    places = parts.places
    command: tuple[str, ...] = ("services.machine_console", name, places.serial, log)
    yield "console", command, "use its serial console; Ctrl-] leaves it", {}
    command = ("services.machine_info", name, places.directory, places.monitor)
    yield "info", command, "tell its state, memory, disks, ports and display", {}
    command = ("services.machine_qmp", name, places.monitor)
    # QEMU can be told to open any file that its account may.
    yield "qmp", command, "run a command of QEMU's monitor (QMP); --help says more", {"admin": True}
    command = ("services.machine_screenshot", name, places.monitor)
    yield "screenshot", command, "write what its display shows into a PNG file", {}
    if parts.ssh_port is not None:
        where = (places.directory, str(parts.ssh_port), parts.secret_root or _NO_SECRETS)
        command = ("services.machine_ssh", name, *where)
        yield "ssh", command, "log in by SSH, or run a command there", {}
    if display is not None:
        command = ("services.machine_vnc", name, places.directory, str(display))
        yield "vnc", command, "say where its display is; --open shows it", {}
