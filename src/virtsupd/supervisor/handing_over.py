"""What services are given for their lives, left to the program that virtsupd becomes (`reexec`).

Descriptors are named by what they are and whose. Activation sockets go with the definitions that
they were opened for: the new configuration may have others, which hold from the next start.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict

import structlog

from virtsupd.core.names import Name
from virtsupd.core.spec import SocketSpec
from virtsupd.process.activation import ListeningSockets
from virtsupd.process.inheritance import Inheritance
from virtsupd.supervisor.runs import Run

log = structlog.get_logger()

SOCKETS = "sockets"
"""The fact that has the definitions of activation sockets, by service."""


def of_runs(runs: Iterable[Run]) -> dict[str, int]:
    """Return what is open for present starts: what services say on it must not be lost."""
    found = {}
    for run in runs:
        if run.notify is not None and run.notify.fileno() >= 0:
            found[f"notify {run.name}"] = run.notify.fileno()
        if run.ready_fd is not None:
            found[f"ready {run.name}"] = run.ready_fd
    return found


def of_sockets(sockets: Mapping[Name, ListeningSockets]) -> dict[str, int]:
    """Return the activation sockets of all services."""
    return {
        f"socket {name} {key}": number
        for name, held in sockets.items()
        for key, number in held.handed().items()
    }


def definitions(sockets: Mapping[Name, ListeningSockets]) -> dict[str, object]:
    """Return the fact SOCKETS."""
    return {name: [asdict(spec) for spec in held.specs] for name, held in sockets.items()}


def take_sockets(
    inherited: Inheritance, heirs: Mapping[Name, Name]
) -> dict[Name, ListeningSockets]:
    """Return the activation sockets of all services as they were before the exec.

    `heirs` has the present names of those that were renamed. What cannot be understood, as another
    version may have sockets of other kinds, is logged and closed: the next start opens it anew.
    """
    found = {}
    for text, listed in inherited.fact(SOCKETS).items():
        descriptors = inherited.take_all(f"socket {text}")
        held = found[heirs.get(Name(text), Name(text))] = ListeningSockets()
        missing = held.inherit(_specs(listed, text), descriptors)
        if missing:
            log.warning("activation sockets were not kept", service=text, sockets=str(missing))
    return found


def _specs(listed: object, name: str) -> tuple[SocketSpec, ...]:
    try:
        return tuple(SocketSpec(**one) for one in listed)  # type: ignore[attr-defined]  # if not a list: below
    except TypeError as error:
        log.warning("activation sockets were not kept", service=name, reason=str(error))
        return ()
