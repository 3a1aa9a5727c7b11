"""Upgrade in place: this process becomes another program that goes on with what it holds.

Over execve(2) stay the pid, and with it the children, and every descriptor that is not
close-on-exec. The successor learns what each of these is from a `Handover`, which lies in memory
that an environment variable names. Signals are blocked from before the call until the successor has
its handlers, so that none ends it unasked and none is lost; only deaths of children it has to look
for itself.

    async with signals_held() as mask:
        execute(command, descriptors, facts, mask)      # raises, or is not heard of again

    handover = received()                               # in the successor, before it makes a child
    ...                                                 # handlers
    unblock_signals(handover.signal_mask)
"""

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import anyio.lowlevel

from virtsupd.core.frozen import frozen
from virtsupd.errors import ReexecError

HANDOVER_VERSION = 1

_VARIABLE = "VIRTSUPD_HANDOVER"
_NAME = "virtsupd-handover"
_THREAD_SECONDS = 1.0
_TURNS = 3
"""Turns of the loop from the byte that a signal's handler in C writes to the end of its call: the
byte is seen, the call is made ready, the call is made."""


@frozen
class Handover:
    """What a program that becomes another one leaves to it."""

    descriptors: Mapping[str, int]
    """By what they are; open, and close-on-exec again."""
    facts: Mapping[str, object]
    """JSON."""
    signal_mask: frozenset[int]
    """The signals that were blocked before it all began."""


@asynccontextmanager
async def signals_held() -> AsyncIterator[frozenset[int]]:
    """Block all signals of this thread and yield those that were blocked before; restored at the end.

    What came before has had its handler called by then, so nothing is on its way inside the loop:
    what comes later waits in the kernel, also for the program that this one becomes. A handler may
    have asked for something that makes the upgrade pointless: look again.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        for _ in range(_TURNS):
            await anyio.lowlevel.cancel_shielded_checkpoint()
        yield frozenset(map(int, before))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock_signals(mask: Iterable[int] = ()) -> None:
    """Go back to blocking these alone: what waited is delivered now, to the handlers that there are."""
    signal.pthread_sigmask(signal.SIG_SETMASK, set(mask))


def execute(
    command: Sequence[str],
    descriptors: Mapping[str, int],
    facts: Mapping[str, object],
    mask: frozenset[int],
) -> NoReturn:
    """Become another program, which inherits these descriptors and no other that is close-on-exec.

    To be called inside `signals_held`, which yields `mask`, with everything written and every client
    answered. Threads end with the call. One that could take a signal, which would be lost with it,
    is waited for up to a second, the loop standing still.

    Raises:
        ReexecError: it could not be done. Descriptors and environment are as they were.
    """
    _await_threads()
    handed = _write_handover(descriptors, facts, mask)
    passed = (*descriptors.values(), handed)
    try:
        for descriptor in passed:
            os.set_inheritable(descriptor, True)
        _flush()
        os.execve(command[0], tuple(command), {**os.environ, _VARIABLE: str(handed)})  # noqa: S606 - no shell wanted
    except OSError as error:
        raise ReexecError(f"cannot run {command[0]}: {os.strerror(error.errno or 0)}") from error
    finally:
        for descriptor in passed:
            with contextlib.suppress(OSError):
                os.set_inheritable(descriptor, False)
        os.close(handed)


def received() -> Handover | None:
    """Return what the program left that this process was before; None if it began as it is.

    Nothing of it reaches a child made from now on. Signals are still blocked if there is a handover,
    a bad one too: `unblock_signals` ends that.

    Raises:
        ReexecError: there is one that cannot be used: of another version, or for another process.
            All that was open but 0 to 2 is closed: locks and sockets of ours that nobody knows any
            more would keep us out.
    """
    text = os.environ.pop(_VARIABLE, None)
    if text is None:
        return None
    _keep_from_children()
    try:
        handover = _parse(_content(int(text)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        for number in _open_descriptors():
            with contextlib.suppress(OSError):  # the one of this listing
                os.close(number)
        raise ReexecError(f"cannot read what the program before left: {error!r}") from error
    return handover


# Handing over


def _write_handover(
    descriptors: Mapping[str, int], facts: Mapping[str, object], mask: frozenset[int]
) -> int:
    """Return a descriptor of the handover, at its beginning."""
    content = {
        "version": HANDOVER_VERSION,
        "pid": os.getpid(),
        "descriptors": dict(descriptors),
        "facts": dict(facts),
        "signal_mask": sorted(mask),
    }
    encoded = json.dumps(content).encode()
    try:
        descriptor = os.memfd_create(_NAME)
    except OSError as error:
        raise ReexecError(f"cannot hand anything over: {error.strerror}") from error
    with open(descriptor, "wb", closefd=False) as file:
        file.write(encoded)
        file.seek(0)
    return descriptor


def _await_threads() -> None:
    """Return once no other thread can take a signal that is meant for us."""
    own = _blocked(threading.get_native_id())
    by_number = {thread.native_id: thread for thread in threading.enumerate()}
    for number in (int(entry) for entry in os.listdir("/proc/self/task")):  # noqa: PTH208 - names only
        if own & ~_blocked(number):
            thread = by_number.get(number)
            if thread is not None:
                thread.join(_THREAD_SECONDS)
            if own & ~_blocked(number):
                name = thread.name if thread is not None else str(number)
                raise ReexecError(f"cannot end the thread {name}: it is still at work")


def _blocked(thread: int) -> int:
    """Return the mask of signals that a thread of ours does not take: all, if it has ended."""
    try:
        status = Path(f"/proc/self/task/{thread}/status").read_text(
            encoding="ascii", errors="replace"
        )
    except (FileNotFoundError, ProcessLookupError):
        return -1
    return int(status.partition("\nSigBlk:")[2].split(maxsplit=1)[0], 16)


def _flush() -> None:
    """Write what is still in Python's buffers, which end with it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # full, closed, none at all
            stream.flush()


# Taking over


def _keep_from_children() -> None:
    """Make every descriptor close-on-exec, also those of a handover that cannot be read."""
    for number in _open_descriptors():
        with contextlib.suppress(OSError):  # the one of this listing
            os.set_inheritable(number, False)


def _open_descriptors() -> list[int]:
    """Return all from 3 on, with the one of this listing."""
    return [int(entry) for entry in os.listdir("/proc/self/fd") if int(entry) > 2]  # noqa: PTH208 - names only


def _content(descriptor: int) -> bytes:
    """Return what lies in the memory, which is freed with that."""
    if not os.readlink(f"/proc/self/fd/{descriptor}").startswith(f"/memfd:{_NAME}"):  # noqa: PTH115
        raise ValueError(f"descriptor {descriptor} is something else")
    with open(descriptor, "rb") as file:
        return file.read()


def _parse(content: bytes) -> Handover:
    fields = json.loads(content)
    if fields["version"] != HANDOVER_VERSION:
        raise ValueError(f"version {fields['version']} instead of {HANDOVER_VERSION}")
    if fields["pid"] != os.getpid():
        raise ValueError(f"it is for process {fields['pid']}")
    return Handover(
        descriptors={str(name): int(number) for name, number in fields["descriptors"].items()},
        facts=dict(fields["facts"]),
        signal_mask=frozenset(map(int, fields["signal_mask"])),
    )
