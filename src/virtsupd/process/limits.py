"""Resource limits by name: what setrlimit(2) is called with, and what is said when it refuses."""

import resource
from typing import Final

from virtsupd.core.spec import Limit
from virtsupd.errors import SpawnError

# Linux's numbers where the resource module has no name for them on every build.
RESOURCE_BY_NAME: Final = {
    "as": resource.RLIMIT_AS,
    "core": resource.RLIMIT_CORE,
    "cpu": resource.RLIMIT_CPU,
    "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE,
    "locks": 10,
    "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
    "nice": resource.RLIMIT_NICE,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "rss": resource.RLIMIT_RSS,
    "rtprio": resource.RLIMIT_RTPRIO,
    "rttime": resource.RLIMIT_RTTIME,
    "sigpending": resource.RLIMIT_SIGPENDING,
    "stack": resource.RLIMIT_STACK,
}


_started_with = resource.getrlimit(resource.RLIMIT_NOFILE)


def raise_own_descriptors(before: tuple[int, int] | None = None) -> None:
    """Let virtsupd hold as many descriptors as its hard limit allows: one or more for each service.

    `before` is what `started_with` told the program that this process was before an exec, which had
    raised them already.
    """
    global _started_with  # noqa: PLW0603 - as the limit itself, it belongs to the process
    _started_with = before or _started_with
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def started_with() -> tuple[int, int]:
    """Return the soft and hard limit of descriptors that virtsupd was started with."""
    return _started_with


def with_started_nofile(limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """Return `limits` with the descriptor limit virtsupd was started with, unless they name one.

    A service must not inherit our raised one: programs that use select(2) break above 1,024.
    """
    soft, hard = _started_with
    is_raised = resource.getrlimit(resource.RLIMIT_NOFILE) != _started_with
    if not is_raised or any(limit.name == "nofile" for limit in limits):
        return limits
    return (*limits, Limit("nofile", _finite(soft), _finite(hard)))


def check_limit(limit: Limit) -> None:
    """Check that a limit can be asked of the kernel.

    Raises:
        SpawnError: the name is unknown, or soft is above hard (stage "limits"); permanent.
    """
    if limit.name not in RESOURCE_BY_NAME:
        allowed = ", ".join(sorted(RESOURCE_BY_NAME))
        message = f"cannot set limit {limit.name!r}: no such limit; there are {allowed}"
        raise SpawnError("limits", message, is_permanent=True)
    soft, hard = limit_values(limit)
    if hard != resource.RLIM_INFINITY and (soft == resource.RLIM_INFINITY or soft > hard):
        message = f"cannot set limit {limit.name}: soft {_text(soft)} is above hard {_text(hard)}"
        raise SpawnError("limits", message, is_permanent=True)


def limit_values(limit: Limit) -> tuple[int, int]:
    """Return soft and hard as the kernel takes them."""
    infinity = resource.RLIM_INFINITY
    return (
        infinity if limit.soft is None else limit.soft,
        infinity if limit.hard is None else limit.hard,
    )


def lowered_to(limit: Limit, hard: int) -> tuple[int, int]:
    """Return the nearest to `limit` that needs no privilege where the hard limit is `hard`."""
    soft, _ = limit_values(limit)
    if hard == resource.RLIM_INFINITY:
        return soft, hard
    return (hard if soft == resource.RLIM_INFINITY else min(soft, hard)), hard


def denial(limit: Limit, reason: str) -> str:
    """Say that the kernel denied a limit and what holds instead."""
    soft, hard = limit_values(limit)
    _, own_hard = resource.getrlimit(RESOURCE_BY_NAME[limit.name])
    wanted = _text(soft) if soft == hard else f"{_text(soft)} (at most {_text(hard)})"
    return f"cannot set limit {limit.name} to {wanted}: {reason}; at most {_text(own_hard)} here"


def _finite(value: int) -> int | None:
    return None if value == resource.RLIM_INFINITY else value


def _text(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)
