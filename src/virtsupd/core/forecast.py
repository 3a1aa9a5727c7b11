"""What a reload would do to each service, by doing it to a copy of the state.

What the copy asks for is never carried out. It takes one event and settles, so it shows what would be
started and stopped first, and what would follow of that by itself once it has come to pass.
"""

from collections.abc import Mapping
from copy import copy
from enum import StrEnum

from virtsupd.core import reload
from virtsupd.core.events import Reloaded
from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.settle import settle
from virtsupd.core.state import HostState


class Fate(StrEnum):
    """What becomes of a service in a reload; of several, the one that stands first here."""

    STOPPED = "stopped"
    """It ends; one that leaves the configuration is forgotten then."""
    FORGOTTEN = "forgotten"
    """It leaves the configuration, and nothing ends: it was down, or is a guest that runs on."""
    ASKED = "asked"
    """It was not needed here, and is started again to see whether it still is not."""
    STARTED = "started"
    ADDED = "added"
    """It is new, and stays down until a command."""
    PENDING = "pending"
    """It runs on as the process it is; the definition in force holds from its next start on."""
    RELOADED = "reloaded"
    """It is told to read its files again."""
    UNREAD = "unread"
    """It would have to be told to read its files again, and is not."""
    UNCHANGED = "unchanged"
    """Nothing of it starts or stops; what changed of its definition, if anything, holds at once."""


@frozen
class Forecast:
    """What becomes of one service, and of what it belongs with."""

    fate: Fate
    is_up: bool = False
    """It is up now."""
    is_told: bool = False
    """It is told to read its files again, also if its fate is another."""
    for_others: tuple[Name, ...] = ()
    """Of one that is started: those that are started too and need or want it. Of one that is stopped:
    those that it is bound to."""


def forecast(host: HostState, event: Reloaded) -> Mapping[Name, Forecast]:
    """Return what the event would do to each service that there is or would be; nothing changes.

    What stops comes first, in the order of a stop, then what starts, in the order of a start, then
    the others by name.
    """
    after = _copy_of(host)
    reload.take_over(after, event.graph, spared=event.spared)
    settle(after)
    fates = {
        name: _fate(host.services.get(name), after.services.get(name), event)
        for name in sorted({*host.services, *event.graph.spec_by_name})
    }
    others = _companions(after, fates)
    return {
        name: _forecast(
            host.services.get(name), after.services.get(name), fates[name], others.get(name, ())
        )
        for name in _in_order(host, after, fates)
    }


def _copy_of(host: HostState) -> HostState:
    """Return a state that may be changed; what the two share is never written."""
    return HostState(
        host.graph,
        dict(host.remembered),
        host.calendar,
        services={name: copy(service) for name, service in host.services.items()},
        shutdown_policy=host.shutdown_policy,
        now=host.now,
        generations=host.generations,
        sought=set(host.sought),
        kept=dict(host.kept),
    )


def _fate(before: Service | None, after: Service | None, event: Reloaded) -> Fate:
    if after is None:
        return Fate.FORGOTTEN
    if _ends(after) and not (before is not None and _ends(before)):
        return Fate.STOPPED
    if _comes(after) and not (before is not None and _comes(before)):
        is_asked = before is not None and before.rest is not None and after.is_asked_again
        return Fate.ASKED if is_asked else Fate.STARTED
    if before is None:
        return Fate.ADDED
    if after.spec.name not in event.graph.spec_by_name:
        return Fate.UNCHANGED  # it had left before
    return _fate_of_running(after)


def _fate_of_running(after: Service) -> Fate:
    if after.has_replacement:
        return Fate.PENDING
    if after.is_to_reload:
        return Fate.RELOADED
    return Fate.UNREAD if after.has_unread else Fate.UNCHANGED


def _ends(service: Service) -> bool:
    """Whether it is going down, or will as soon as it may."""
    return service.is_alive and (not service.is_up or service.view.must_stop)


def _comes(service: Service) -> bool:
    """Whether it is up, or will be without another command."""
    return (service.is_up and not service.view.must_stop) or service.view.is_coming


def _in_order(host: HostState, after: HostState, fates: Mapping[Name, Fate]) -> tuple[Name, ...]:
    def place(name: Name) -> tuple[int, int, Name]:
        match fates[name]:
            case Fate.STOPPED:
                return 0, -host.rank(name), name
            case Fate.STARTED | Fate.ASKED:
                return 1, after.rank(name), name
            case _:
                return 2, 0, name

    return tuple(sorted(fates, key=place))


def _companions(after: HostState, fates: Mapping[Name, Fate]) -> Mapping[Name, tuple[Name, ...]]:
    """Return, by name, what a service is started for, or with what it falls."""
    graph = after.graph
    found: dict[Name, set[Name]] = {}
    for name, fate in fates.items():
        if fate is Fate.STARTED:
            for needed in (*graph.needs.get(name, ()), *graph.wants.get(name, ())):
                found.setdefault(needed, set()).add(name)
    for name in (name for name, fate in fates.items() if fate is Fate.STOPPED):
        bonds = graph.binds.get(name, ())
        found[name] = {bond for bond in bonds if not after.services[bond].view.holds}
    return {name: tuple(sorted(others)) for name, others in found.items()}


def _forecast(
    before: Service | None, after: Service | None, fate: Fate, others: tuple[Name, ...]
) -> Forecast:
    return Forecast(
        fate,
        is_up=before is not None and before.is_up,
        is_told=after is not None and after.is_to_reload and after.can_reload,
        for_others=others if fate in (Fate.STARTED, Fate.STOPPED) else (),
    )
