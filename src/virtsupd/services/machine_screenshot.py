"""`virtsupctl screenshot NAME FILE.png`: what the display of a machine shows."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from virtsupd.errors import VirtsupdError
from virtsupd.machine.monitor import MonitorError
from virtsupd.machine.monitor_turn import monitor_turn
from virtsupd.machine.picture import MOST_BYTES, as_png
from virtsupd.process.files import write_atomically
from virtsupd.services.action_program import USAGE, ActionParser, told

_SECONDS = 30.0


class _ScreenshotError(VirtsupdError):
    """A picture is not written; the message says why."""

    code = "screenshot"


def main(words: Sequence[str]) -> int:
    """Write the picture; return the exit code."""
    name, path, *asked = words
    return told(f"take a picture of {name}", lambda: _take(name, path, asked), wrong_usage=USAGE)


def _take(name: str, path: str, asked: Sequence[str]) -> str:
    parser = ActionParser(f"virtsupctl screenshot {name}", "Write what its display shows as PNG.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--force", action="store_true", help="also over a file that is there")
    options = parser.parse_args(asked)
    file: Path = options.file
    if os.path.lexists(file) and not options.force:
        raise _ScreenshotError(f"{file} is there already; --force replaces it")
    picture = as_png(_shown(name, path))
    mask = os.umask(0)
    os.umask(mask)
    write_atomically(file.absolute(), picture, mode=0o666 & ~mask)
    return str(file)


def _shown(name: str, path: str) -> bytes:
    """Return what QEMU writes into a file of ours that it is given opened: it needs no right to any place."""
    descriptor, draft = tempfile.mkstemp(prefix="virtsupctl-")
    with os.fdopen(descriptor, "rb") as file, Path(draft).open("wb") as writable:
        Path(draft).unlink()
        asyncio.run(_dump(name, path, writable.fileno()))
        if os.fstat(descriptor).st_size > MOST_BYTES:
            raise _ScreenshotError("QEMU has written more than a picture")
        return file.read()


async def _dump(name: str, path: str, descriptor: int) -> None:
    async with monitor_turn(name, path) as monitor:
        number = await monitor.lend(descriptor)
        where = {"filename": f"/dev/fdset/{number}"}
        try:
            await monitor.execute(
                "screendump", {**where, "format": "png"}, timeout_seconds=_SECONDS
            )
        except MonitorError:  # before 7.1, or built without PNG
            await monitor.execute("screendump", where, timeout_seconds=_SECONDS)
        finally:
            with suppress(MonitorError):
                await monitor.execute("remove-fd", {"fdset-id": number})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
