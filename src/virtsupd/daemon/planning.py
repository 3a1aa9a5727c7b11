"""What a new configuration would do to each service, and why: the changed keys."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from virtsupd.config.difference import is_changed
from virtsupd.config.load import Loaded
from virtsupd.config.problems import HostFault
from virtsupd.control.plan import Step
from virtsupd.control.records import kind
from virtsupd.core.engine import Engine
from virtsupd.core.events import Reloaded, Verb
from virtsupd.core.forecast import Fate, Forecast
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name
from virtsupd.daemon.origins import Comparison, Origins
from virtsupd.errors import UnknownServiceError

_BY_COMMAND = {Fate.PENDING: "restart", Fate.UNREAD: "reload"}
"""What puts in force what a reload of the configuration does not."""


def planned_steps(
    engine: Engine, old: Loaded, new: Loaded, event: Reloaded, origins: Origins
) -> tuple[Step, ...]:
    """Return what `event`, made of the configuration `new`, would do now; `old` is in force."""
    comparison = Comparison(old, new, origins)
    return tuple(
        _step(engine, event, name, found, comparison)
        for name, found in engine.forecast(event).items()
    )


def canonical(engine: Engine, event: Reloaded, names: Iterable[str]) -> frozenset[Name]:
    """Return the services that have, or will have, these names.

    Raises:
        UnknownServiceError: nobody has one of them.
    """
    return frozenset(_resolved(engine, event, name) for name in names)


def ended_by(steps: Iterable[Step]) -> frozenset[Name]:
    """Return the services that a reload ends, or the restarts that it leaves to somebody would."""
    found: set[Name] = set()
    for step in steps:
        if step.fate in (Fate.STOPPED, Fate.PENDING):
            found.update((step.name, *step.touches))
    return frozenset(found)


def harmful(steps: Iterable[Step], harms: Mapping[Name, str]) -> Iterator[str]:
    """Yield why a reload is refused that would cost guests something: `harms`, by service."""
    for step in steps:
        if step.fate is Fate.STOPPED and step.name in harms:
            yield f"{step.name}: it would be stopped: {harms[step.name]}"


def misfits(
    steps: Iterable[Step], faults: Iterable[HostFault], graph: ServiceGraph
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return over which faults of the host a reload is refused, and those it is no cause of.

    It is refused where it would start a service that cannot start, or give it another definition: as
    it is, nothing gets worse. What is wrong with a service that stays as it was is for its next start.
    """
    fresh = {step.name for step in steps if step.is_new or step.is_changed or _is_to_start(step)}
    caused: list[str] = []
    others: list[str] = []
    for fault in faults:
        found = map(Name, fault.services)
        names = [graph.canonical[name] for name in found if name in graph.canonical]
        if fresh.isdisjoint(names):
            others.append(
                f"{', '.join(names)} would not start: {fault.text}" if names else fault.text
            )
        else:
            caused.append(fault.text)
    return tuple(caused), tuple(others)


def unattended(steps: Iterable[Step], old: Loaded, new: Loaded) -> Iterator[str]:
    """Yield what guests that are services miss once what they run through ends with its table."""
    guests = sorted(spec.name for spec in new.specs if spec.domain is not None)
    if not guests:
        return
    gone = old.guest_hosts.keys() - new.guest_hosts.keys()
    for name in (s.name for s in steps if s.fate is Fate.STOPPED and s.name in gone):
        yield (
            f"{new.path}: {name} ends, since its table is gone, and guests that run through it are still "
            f"services: {', '.join(guests)}; they run on, and can neither be seen nor started nor ended "
            "until something else runs it"
        )


def with_harms(steps: Iterable[Step], harms: Mapping[Name, str]) -> tuple[Step, ...]:
    """Return the steps with what guests would lose by the restarts that are left to somebody."""
    return tuple(
        replace(step, harms=tuple(harms[n] for n in (step.name, *step.touches) if n in harms))
        if step.fate is Fate.PENDING
        else step
        for step in steps
    )


def _is_to_start(step: Step) -> bool:
    return step.fate in (Fate.STARTED, Fate.ASKED)


def _resolved(engine: Engine, event: Reloaded, name: str) -> Name:
    try:
        return event.graph.resolve(name)
    except UnknownServiceError:
        return engine.graph.resolve(name)


def _step(
    engine: Engine, event: Reloaded, name: Name, found: Forecast, comparison: Comparison
) -> Step:
    old = engine.graph.spec_by_name.get(name)
    new = event.graph.spec_by_name.get(name)
    spec = new or old
    if spec is None:
        raise AssertionError(name)
    step = Step(
        name,
        kind(spec),
        found.fate,
        is_new=old is None,
        is_up=found.is_up,
        is_told=found.is_told,
        for_others=found.for_others,
    )
    if old is not None and new is not None:
        keys = tuple(comparison.keys(engine.service(name), new))
        step = replace(step, is_changed=is_changed(old, new), keys=keys)
    return _with_command(engine, step)


def _with_command(engine: Engine, step: Step) -> Step:
    """Add the command that puts the rest in force, and what that would end."""
    word = _BY_COMMAND.get(step.fate)
    if word is None:
        return step
    if word == "reload":
        return replace(step, command=(word, step.name))
    stopped = engine.would_touch(Verb.RESTART, [step.name]).stopped
    others = tuple(name for name in stopped if name != step.name)
    guests = tuple(name for name in others if engine.graph.spec_by_name[name].is_guest)
    flags = ("--guests",) if guests else ()
    return replace(step, command=(word, step.name, *flags), touches=others, guests=guests)
