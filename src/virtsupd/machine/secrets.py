"""Handing a guest its secrets, byte for byte as Guix's secret service has it.

The guest listens and greets; the host sends one datum that lists files, then their content, and closes.
QEMU's user network accepts connections long before the guest does, and closes them when it likes: a
connection that ends without a whole greeting is no answer, and is tried again.
(gnu/build/secret-service.scm of GNU Guix, revisions 39e3b4b and 33f012c.)
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import SocketStream

from virtsupd.errors import NotReadyError, VirtsupdError
from virtsupd.machine.deadline import ends_within
from virtsupd.process.clock import Clock
from virtsupd.process.wakeups import Pause

_GREETING: Final = re.compile(
    rb"\s*\(\s*secret-service-server\s+\(\s*version(?:\s+[0-9]+)+\s*\)\s*\)\s*\Z"
)
_LONGEST_GREETING_BYTES: Final = 256
_LONGEST_FILE_BYTES: Final = 16 * 1024 * 1024
_MOST_BYTES: Final = 64 * 1024 * 1024
"""Of all files together, which are held in memory while the guest boots."""
_SILENCE_SECONDS = 5.0
"""How long a connection may say nothing: a guest whose network is down when it is made never sees it,
and QEMU's user network (7.2) keeps it open for 80 s and more, and asks the guest again after 6 s, 18 s, 42 s."""
_GREETING_SECONDS = 30.0
"""How long a guest that has begun to greet may take."""
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_REGULAR_NAME: Final = re.compile(r"[\x20-\x7e]+\Z")


class SecretsError(VirtsupdError):
    """The files below the secret root cannot be sent as they are; nothing was sent."""

    code = "secrets"


def payload(root: str | None) -> bytes:
    """Return what is sent: the datum, and then the content of each file, read once.

    Without a root, or where there is none, that is an empty list: a guest waits until it gets one.
    Links are sent as what they lead to.

    Raises:
        SecretsError: there is too much, or a file is none that can be sent: no regular one, too long, or
            with a name that is not printable ASCII, of which guests that have another locale would make
            something else.
    """
    entries: list[str] = []
    contents: list[bytes] = []
    left = _MOST_BYTES
    for name, path in _files(root):
        content, mode = _read(path)
        entries.append(f"({_string(name)} {len(content)} {mode})")
        contents.append(content)
        left -= len(content)
        if left < 0:
            raise SecretsError(f"cannot send {root}: it has more than {_MOST_BYTES} bytes")
    datum = f"(secrets (version 0) (files ({' '.join(entries)})))"
    return datum.encode("ascii") + b"".join(contents)


def _files(root: str | None) -> Iterator[tuple[str, Path]]:
    """Yield the files below the root with their names in the guest, in the order of their paths."""
    if root is None or not Path(root).exists():
        return
    found: list[Path] = []
    for directory, subdirectories, names in os.walk(root, onerror=_refuse):
        links = [name for name in subdirectories if Path(directory, name).is_symlink()]
        found.extend(Path(directory, name) for name in (*names, *links))
    for path in sorted(found, key=str):
        name = f"/{path.relative_to(root)}"
        if not _REGULAR_NAME.match(name):
            raise SecretsError(f"cannot send {str(path)!r}: its name is not printable ASCII")
        yield name, path


def _refuse(error: OSError) -> None:
    raise SecretsError(f"cannot read {error.filename}: {error.strerror}") from error


def _read(path: Path) -> tuple[bytes, int]:
    """Return the content and the mode of a file, or of what a link leads to."""
    try:
        # Not blocking: a FIFO would never open.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        what = "leads nowhere" if path.is_symlink() else (error.strerror or str(error)).lower()
        raise SecretsError(f"cannot send {path}: {what}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise SecretsError(f"cannot send {path}: it is, or leads to, no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(_LONGEST_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > _LONGEST_FILE_BYTES:
        raise SecretsError(f"cannot send {path}: it is longer than {_LONGEST_FILE_BYTES} bytes")
    return content, mode


def _string(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'


async def deliver(
    port: int,
    content: bytes,
    *,
    is_ours: Callable[[], bool],
    clock: Clock,
    note: Callable[[str], None],
) -> None:
    """Return once a guest has greeted on a port of 127.0.0.1 and been sent everything.

    There is no acknowledgement: sent is not installed. Nothing is sent unless the port `is_ours`.
    Tried again until cancelled.

    Raises:
        NotReadyError: what answers is no secret service.
    """
    pause = Pause(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
    while True:
        if not is_ours():
            note(f"the QEMU of this machine does not listen on port {port}")
        else:
            why = await _attempt(port, content, is_ours, clock)
            if why is None:
                return
            note(why)
        await clock.sleep(pause.take())


async def _attempt(
    port: int, content: bytes, is_ours: Callable[[], bool], clock: Clock
) -> str | None:
    """Return why one connection came to nothing; None: the guest has everything."""
    try:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            greeting = bytearray()
            if not await ends_within(_SILENCE_SECONDS, lambda: _hear(stream, greeting), clock):
                return "the guest has not asked for them yet"
            if not await ends_within(_GREETING_SECONDS, lambda: _greet(stream, greeting), clock):
                return "the guest has not greeted to the end"
            if not is_ours():
                return f"port {port} has another owner now"
            await stream.send(content)
    except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
        return "the guest does not listen for its secrets yet"
    return None


async def _hear(stream: SocketStream, greeting: bytearray) -> None:
    """Read the first piece of the greeting.

    Raises:
        EndOfStream: there was none.
    """
    greeting += await stream.receive(_LONGEST_GREETING_BYTES)


async def _greet(stream: SocketStream, greeting: bytearray) -> None:
    """Read on until the greeting's parenthesis closes, however many pieces that takes.

    Raises:
        NotReadyError: it is none.
        EndOfStream: it was not all.
    """
    while not greeting.strip() or greeting.count(b"(") > greeting.count(b")"):
        greeting += await stream.receive(_LONGEST_GREETING_BYTES)
        if (
            greeting.lstrip()[:1] not in (bytearray(), bytearray(b"("))
            or len(greeting) > _LONGEST_GREETING_BYTES
        ):
            break
    if not _GREETING.match(greeting):
        shown = bytes(greeting[:40])
        raise NotReadyError(f"it says {shown!r} in place of a secret service's greeting")
