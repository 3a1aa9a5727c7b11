"""Whether foreign programs run, found by running one of each platform.

The kernel executes them as it executes any program: here, in another root, or where another process
is. A helper process does it, so that this one changes neither root nor namespaces, has no other
children to wait for, and need not clean up.
"""

import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from virtsupd.binfmt.attempts import carried_out, die_with_parent, is_readable, readable
from virtsupd.binfmt.elsewhere import (
    Ordinary,
    enter_process,
    enter_root,
    renounce,
    set_apart,
)
from virtsupd.binfmt.hearing import CutShortError
from virtsupd.binfmt.platforms import QemuPlatform
from virtsupd.binfmt.proof import program
from virtsupd.errors import VirtsupdError

_CLEANING_SECONDS: Final = 5.0
"""What a helper may take beyond the programs themselves."""
_TELLING: Final = 3
"""The descriptor of a helper to which it writes what it found."""
_LIMITS: Final = {
    resource.RLIMIT_CPU: 60,
    resource.RLIMIT_FSIZE: 0,
    # An emulator reserves far more addresses than it uses: those are not limited.
    resource.RLIMIT_DATA: 4 << 30,
    resource.RLIMIT_NPROC: 1024,
}
"""Of what runs elsewhere: seconds, bytes, bytes, processes of its user."""
_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_Found = Mapping[str, str] | str
"""By platform, or one reason for all."""


def prove(
    platforms: Iterable[QemuPlatform],
    *,
    seconds: float = 10.0,
    root: Path | None = None,
    pid: int | None = None,
    until: int | None = None,
) -> Mapping[str, str]:
    """Return by name "" for each platform whose program ended with 42, else why it did not.

    All run at once; those that have not ended within `seconds` are killed. With `root` they run in
    that directory as their root; with `pid` in the namespaces and the root of that process; in both
    cases without any rights. Blocks until all have ended. No process is left behind, and no file;
    what was begun ends with the calling thread if that is ended. SIGCHLD must not be ignored.

    When the descriptor `until` can be read all are killed; nothing is read from it.

    Raises:
        CutShortError: `until` could be read before all had ended.
        ValueError: both `root` and `pid` are given.
    """
    if root is not None and pid is not None:
        raise ValueError("either in a root, or where a process is")
    programs = {platform.name: program(platform.name) for platform in platforms}
    if not programs:
        return {}
    if root is not None:
        work: Callable[[], _Found] = partial(_in_root, root, programs, seconds)
    elif pid is not None:
        work = partial(_where_process_is, pid, programs, seconds)
    else:
        work = partial(carried_out, programs, seconds)
    try:
        found = _asked(partial(_silenced, work), seconds + 2 * _CLEANING_SECONDS, until)
    except OSError as error:
        found = f"cannot be tried: {os.strerror(error.errno or 0).lower()}"
    return dict.fromkeys(programs, found) if isinstance(found, str) else found


def _silenced(work: Callable[[], _Found]) -> _Found:
    """Do it with nothing to read and nowhere to print; elsewhere there may be no such device."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for stream in range(3):
        os.dup2(null, stream)
    return work()


def _in_root(root: Path, programs: Mapping[str, bytes], seconds: float) -> _Found:
    return _apart(_entered(partial(enter_root, root)), programs, seconds)


def _where_process_is(pid: int, programs: Mapping[str, bytes], seconds: float) -> _Found:
    """Enter, and have a child of ours go on: only children are in the other pid namespace."""
    user = _entered(partial(enter_process, pid))
    return _asked(partial(_apart, user, programs, seconds), seconds + 2 * _CLEANING_SECONDS)


def _entered(enter: Callable[[], Ordinary]) -> Ordinary:
    """Enter, as the first that the kernel ends when memory runs out."""
    parent = os.getppid()
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    user = enter()
    die_with_parent(parent, signal.SIGTERM)  # the kernel forgets it when the user changes
    return user


def _apart(user: Ordinary, programs: Mapping[str, bytes], seconds: float) -> _Found:
    """Have the first process of a new pid namespace do it: nothing of it survives that one."""
    set_apart()
    return _asked(partial(_without_rights, user, programs, seconds), seconds + _CLEANING_SECONDS)


def _without_rights(user: Ordinary, programs: Mapping[str, bytes], seconds: float) -> _Found:
    parent = os.getppid()
    os.setsid()
    renounce(user)
    die_with_parent(parent, signal.SIGTERM)
    return carried_out(programs, seconds, _LIMITS)


def _asked(work: Callable[[], _Found], seconds: float, until: int | None = None) -> _Found:
    """Have a helper do it and return what it found; it is gone then, if it took longer too.

    Raises:
        CutShortError: `until` could be read first. The helper is gone.
        OSError: there is no helper.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    own = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        helper = os.fork()
        if helper == 0:
            _help(work, own, writing)
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        said = _said(reading, seconds, until)
    finally:
        os.close(reading)
        _end(helper)
    found: _Found = json.loads(said or b'"the check itself did not come to an end"')
    return found


def _said(reading: int, seconds: float, until: int | None) -> bytes:
    """Return what is written until the other end is closed, or the time is over.

    Raises:
        CutShortError: `until` could be read first.
    """
    deadline = time.monotonic() + seconds
    watched = (reading,) if until is None else (reading, until)
    said = b""
    while ready := readable(watched, max(deadline - time.monotonic(), 0.0)):
        if reading not in ready:
            raise CutShortError("the programs were not tried to their end")
        part = os.read(reading, 65536)
        if not part:
            return said
        said += part
    return b""


def _end(helper: int) -> None:
    """Return when a helper is gone, which cleans up at TERM."""
    handle = os.pidfd_open(helper)
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not is_readable(handle, _CLEANING_SECONDS):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            if not is_readable(handle, _CLEANING_SECONDS):
                return  # a file system of a container can hold it for ever
    finally:
        os.close(handle)
    os.waitpid(helper, 0)


def _help(work: Callable[[], _Found], parent: int, writing: int) -> NoReturn:
    """Do it in this copy of a process, with nothing of the process but its standard streams."""
    try:
        _take_signals()
        die_with_parent(parent, signal.SIGTERM)
        os.dup2(writing, _TELLING, inheritable=False)
        os.closerange(_TELLING + 1, os.sysconf("SC_OPEN_MAX"))
        os.write(_TELLING, json.dumps(_found_by(work)).encode())
    finally:
        os._exit(0)


def _found_by(work: Callable[[], _Found]) -> _Found:
    try:
        return work()
    except VirtsupdError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)


def _take_signals() -> None:
    """Have what would end us end the work in order, and forget what the process did at others."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)) or number == signal.SIGCHLD:
            signal.signal(number, signal.SIG_DFL)
    for number in _ENDING:
        signal.signal(number, _leave)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit
