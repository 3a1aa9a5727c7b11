"""What a machine that runs is like, as its QEMU tells it."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from virtsupd.core.frozen import frozen
from virtsupd.machine.monitor import Monitor, MonitorError

_FORWARD: Final = re.compile(
    r"^\s*(TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+(\S+)\s+(\d+)", re.MULTILINE
)
"""A line of `info usernet` (QEMU 7.2): TCP[HOST_FORWARD]  12  127.0.0.1 10022  10.0.2.15 2222  0 0."""


@frozen
class Block:
    """One of its disks."""

    device: str
    file: str
    format: str
    is_read_only: bool
    is_volatile: bool
    """What is written to it is thrown away."""


@frozen
class Forward:
    """A port of the host that leads into it."""

    protocol: str
    host: str
    port: int
    guest_port: int


@frozen
class MachineFacts:
    """All that is told of a machine; nothing in it is secret."""

    state: str
    version: str
    accelerator: str
    processors: int
    memory_bytes: int
    blocks: tuple[Block, ...]
    forwards: tuple[Forward, ...]
    vnc: str | None
    """Address and port of its display."""


async def facts_of(monitor: Monitor) -> MachineFacts:
    """Ask for them.

    Raises:
        MonitorError: QEMU does not answer.
    """
    version = _table(await monitor.execute("query-version"))
    memory = _table(await monitor.execute("query-memory-size-summary"))
    return MachineFacts(
        state=str(_table(await monitor.execute("query-status")).get("status")),
        version=".".join(
            str(_table(version.get("qemu")).get(part)) for part in ("major", "minor", "micro")
        ),
        accelerator="kvm" if _table(await monitor.execute("query-kvm")).get("enabled") else "tcg",
        processors=len(_list(await monitor.execute("query-cpus-fast"))),
        memory_bytes=_count(memory.get("base-memory")) + _count(memory.get("plugged-memory")),
        blocks=tuple(_blocks(_list(await monitor.execute("query-block")))),
        forwards=tuple(await _forwards(monitor)),
        vnc=await _vnc(monitor),
    )


def _blocks(found: Sequence[object]) -> list[Block]:
    blocks = []
    for each in map(_table, found):
        inserted = _table(each.get("inserted"))
        image = _table(inserted.get("image"))
        if not image:
            continue
        file, written = str(image.get("filename")), _table(image.get("backing-image"))
        # With --snapshot QEMU lays a file of its own over the disk, and has removed its name at once.
        is_volatile = bool(written) and _is_nameless(file)
        shown = written if is_volatile else image
        blocks.append(
            Block(
                str(each.get("device")),
                str(shown.get("filename")),
                str(shown.get("format")),
                bool(inserted.get("ro")),
                is_volatile,
            )
        )
    return blocks


def _is_nameless(file: str) -> bool:
    return "/vl." in file or '"driver"' in file


async def _forwards(monitor: Monitor) -> list[Forward]:
    with suppress(MonitorError):
        said = await monitor.execute("human-monitor-command", {"command-line": "info usernet"})
        return [
            Forward(found[1].lower(), found[2], int(found[3]), int(found[5]))
            for found in _FORWARD.finditer(str(said))
        ]
    return []


async def _vnc(monitor: Monitor) -> str | None:
    with suppress(MonitorError):  # QEMU may be built without
        found = _table(await monitor.execute("query-vnc"))
        if found.get("enabled") and "service" in found:
            return f"{found.get('host')}:{found['service']}"
    return None


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
