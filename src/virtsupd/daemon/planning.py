"""What a new configuration would do to each service, and why: the changed keys."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from virtsupd.config.difference import ChangedKey, When, changed_keys, changed_settings, is_changed
from virtsupd.config.load import Loaded
from virtsupd.config.settings import GeneratedFile
from virtsupd.control.plan import Step
from virtsupd.control.records import kind
from virtsupd.core.engine import Engine
from virtsupd.core.events import Reloaded, Verb
from virtsupd.core.forecast import Fate, Forecast
from virtsupd.core.names import Name
from virtsupd.core.spec import ServiceSpec
from virtsupd.errors import UnknownServiceError

_BY_COMMAND = {Fate.PENDING: "restart", Fate.UNREAD: "reload"}
"""What puts in force what a reload of the configuration does not."""


def planned_steps(engine: Engine, old: Loaded, new: Loaded, event: Reloaded) -> tuple[Step, ...]:
    """Return what `event`, made of the configuration `new`, would do now; `old` is in force."""
    files = _Files(old), _Files(new)
    return tuple(
        _step(engine, event, name, found, files) for name, found in engine.forecast(event).items()
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


def with_harms(steps: Iterable[Step], harms: Mapping[Name, str]) -> tuple[Step, ...]:
    """Return the steps with what guests would lose by the restarts that are left to somebody."""
    return tuple(
        replace(step, harms=tuple(harms[n] for n in (step.name, *step.touches) if n in harms))
        if step.fate is Fate.PENDING
        else step
        for step in steps
    )


def _resolved(engine: Engine, event: Reloaded, name: str) -> Name:
    try:
        return event.graph.resolve(name)
    except UnknownServiceError:
        return engine.graph.resolve(name)


class _Files:
    """The generated files of a configuration, by path."""

    def __init__(self, loaded: Loaded) -> None:
        self.by_path: Mapping[Path, GeneratedFile] = {file.path: file for file in loaded.generated}

    def of(self, spec: ServiceSpec) -> set[Path]:
        """Return those that a service reads."""
        return {path for path, file in self.by_path.items() if file.reader in spec.provides}


def _step(
    engine: Engine, event: Reloaded, name: Name, found: Forecast, files: tuple[_Files, _Files]
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
    if old is not None and new is not None and is_changed(old, new):
        keys = (*changed_keys(old, new), *_changed_settings(old, new, files))
        step = replace(step, is_changed=True, keys=tuple(sorted(keys, key=_urgency)))
    return _with_command(engine, step)


def _urgency(key: ChangedKey) -> int:
    """Return a place for what takes most before what takes less; among equals, the file's order holds."""
    return -list(When).index(key.when)


def _changed_settings(
    old: ServiceSpec, new: ServiceSpec, files: tuple[_Files, _Files]
) -> Iterator[ChangedKey]:
    before, after = files
    for path in sorted(before.of(old) | after.of(new)):
        yield from changed_settings(before.by_path.get(path), after.by_path.get(path))


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
