"""Programs that are executed to see whether the kernel does it: each in a process of its own."""

import ctypes
import errno
import fcntl
import os
import resource
import select
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from virtsupd.binfmt.places import PROGRAM, Place, placed
from virtsupd.binfmt.proof import ENDS_WITH

_PR_SET_PDEATHSIG: Final = 1
_REPORT: Final = PROGRAM + 1
"""A process's descriptor to which it writes what execve says; the program's comes before it."""
_ABOVE: Final = 16
_ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_KILLED_SECONDS: Final = 2.0
"""How long a killed process may take to be gone."""
_NEVER_EXECUTED: Final = 127

_REFUSALS: Final = {
    errno.ENOEXEC: "no entry takes its programs: none is registered, or it is switched off, or "
    "binfmt_misc as a whole is",
    errno.ENOENT: "the interpreter of its entry is not there; without the flag F it has to be in "
    "every root",
    errno.EACCES: "not permitted: the interpreter of its entry may not be executed, or lies in a "
    "file system mounted noexec",
    errno.ELOOP: "the interpreter of its entry is itself a program that needs one, and so on",
}

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int, number: signal.Signals) -> None:
    """Have the kernel send us a signal when our parent ends; if that has happened, end now."""
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() not in (parent, 0):  # 0: it is outside our pid namespace
        os._exit(_NEVER_EXECUTED)


def is_readable(descriptor: int, seconds: float) -> bool:
    """Whether a descriptor can be read, or a pidfd's process has ended, within that time."""
    return bool(readable([descriptor], seconds))


def readable(descriptors: Sequence[int], seconds: float) -> Collection[int]:
    """Return those that can be read, as soon as there is one; none when the time is over."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(seconds * 1000)}


def carried_out(
    programs: Mapping[str, bytes], seconds: float, limits: Mapping[int, int] | None = None
) -> Mapping[str, str]:
    """Execute them all at once; return by name "" for one that ended with 42, else why it did not.

    Their standard streams are ours. One that has not ended within `seconds` is killed. Nothing is
    left behind, if an exception ends this too. `limits` are those of setrlimit(2), for each of them.

    Raises:
        OSError: there is no place from which a program can be executed.
    """
    begun: dict[str, _Attempt] = {}
    answers: dict[str, str] = {}
    with placed(programs) as places:
        try:
            for name, place in places.items():
                try:
                    begun[name] = _begin(place, limits or {})
                except OSError as error:
                    answers[name] = f"no process for its program: {_words(error.errno)}"
            _wait(list(begun.values()), seconds)
        finally:
            for name, attempt in begun.items():
                answers[name] = attempt.answer(seconds)
    return {name: answers[name] for name in programs}


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A process that was begun; its descriptors are ours to close."""

    pid: int
    handle: int
    """A pidfd."""
    report: int
    """Where it writes what execve said, if that failed."""

    def answer(self, seconds: float) -> str:
        """Return how it ended, after at most `seconds`; end it if it has not."""
        try:
            if is_readable(self.handle, 0):
                return self._ending()
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)
            if not is_readable(self.handle, _KILLED_SECONDS):
                return f"no end within {seconds:g} s, and it cannot be killed (pid {self.pid})"
            os.waitpid(self.pid, 0)
            return f"no end within {seconds:g} s: killed"
        finally:
            os.close(self.handle)
            os.close(self.report)

    def _ending(self) -> str:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        refusal = os.read(self.report, 16)
        if refusal:
            number = int(refusal)
            return f"{_REFUSALS.get(number, _words(number))} (execve: {errno.errorcode[number]})"
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return "" if code == ENDS_WITH else f"ended with {code} instead of {ENDS_WITH}"


def _wait(attempts: Sequence[_Attempt], seconds: float) -> None:
    """Return when all have ended, or the time is over."""
    deadline = time.monotonic() + seconds
    for attempt in attempts:
        if not is_readable(attempt.handle, max(deadline - time.monotonic(), 0.0)):
            return


def _begin(place: Place, limits: Mapping[int, int]) -> _Attempt:
    report, telling = os.pipe2(os.O_CLOEXEC)
    try:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _execute(place, parent, telling, limits)
        return _Attempt(pid, os.pidfd_open(pid), report)
    except OSError:
        os.close(report)
        raise
    finally:
        os.close(telling)


def _execute(place: Place, parent: int, telling: int, limits: Mapping[int, int]) -> NoReturn:
    """Become the program, with nothing of ours, or tell why not."""
    report = telling
    try:
        die_with_parent(parent, signal.SIGKILL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        for limit, most in {**limits, resource.RLIMIT_CORE: 0}.items():
            _limit(limit, most)
        _hand_over((0, 1, 2, place.descriptor or 0, telling))
        report = _REPORT
        os.chdir("/")
        os.execve(place.path, [place.path], _ENVIRONMENT)  # noqa: S606 - of ours
    except OSError as error:
        os.write(report, str(error.errno).encode())
    finally:
        os._exit(_NEVER_EXECUTED)


def _limit(limit: int, most: int) -> None:
    _, highest = resource.getrlimit(limit)
    if highest != resource.RLIM_INFINITY:
        most = min(most, highest)
    resource.setrlimit(limit, (most, most))


def _hand_over(descriptors: Sequence[int]) -> None:
    """Make these 0, 1, 2 …, and close all others; the report is closed by execve."""
    out_of_the_way = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for one in descriptors]
    for number, descriptor in enumerate(out_of_the_way):
        os.dup2(descriptor, number, inheritable=number != _REPORT)
    os.closerange(len(descriptors), os.sysconf("SC_OPEN_MAX"))


def _words(number: int | None) -> str:
    return os.strerror(number or 0).lower()
