"""What processes were made from, and what that differs in from a new configuration, key by key."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from virtsupd.config.difference import ChangedKey, When, changed_keys, changed_settings, is_changed
from virtsupd.config.load import Loaded
from virtsupd.config.settings import GeneratedFile
from virtsupd.control.plan import Step
from virtsupd.core.engine import Engine
from virtsupd.core.frozen import frozen
from virtsupd.core.made import Made, made_from
from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.spec import ServiceSpec


@frozen
class _Definition:
    """All that a service is made from."""

    spec: ServiceSpec
    files: Mapping[Path, GeneratedFile]
    """The generated files that it reads."""


class Origins:
    """What processes were made from, and what they read last, if that is no longer in force.

    In memory alone: a successor knows that something is pending, and not what.
    """

    def __init__(self) -> None:
        self._made: dict[Name, _Definition] = {}
        self._read: dict[Name, _Definition] = {}

    def note(self, engine: Engine, old: Loaded, steps: Iterable[Step]) -> None:
        """Keep of `old` what the steps replace; to be called before they are taken."""
        for step in steps:
            if not step.is_changed:
                continue
            service = engine.service(step.name)
            definition = _definition(old, service.spec)
            if _made(service, service.definition):
                self._made[step.name] = definition
            if _has_read(service, service.definition):
                self._read[step.name] = definition

    def made(self, service: Service, old: _Definition) -> _Definition:
        """Return what the process was made from; `old`, which is in force, where nobody knows."""
        found = self._made.get(service.spec.name, old)
        return found if _made(service, made_from(found.spec)) else old

    def read(self, service: Service, old: _Definition) -> _Definition:
        """Return what the process has read last of what it can read again; otherwise as `made`."""
        found = self._read.get(service.spec.name, old)
        return found if _has_read(service, made_from(found.spec)) else old


def _made(service: Service, definition: Made) -> bool:
    return service.made is not None and service.made.fingerprint == definition.fingerprint


def _has_read(service: Service, definition: Made) -> bool:
    return service.made is not None and service.made.reread == definition.reread


def _definition(loaded: Loaded, spec: ServiceSpec) -> _Definition:
    files = {file.path: file for file in loaded.generated if file.reader in spec.provides}
    return _Definition(spec, files)


class Comparison:
    """What of a service is another in a new configuration than in what it runs by."""

    def __init__(self, old: Loaded, new: Loaded, origins: Origins) -> None:
        self._old = old
        self._new = new
        self._origins = origins

    def keys(self, service: Service, spec: ServiceSpec) -> Iterator[ChangedKey]:
        """Yield the keys, what takes most before what takes less, by when they hold."""
        if not (service.has_replacement or service.has_unread or is_changed(service.spec, spec)):
            return
        old, new = _definition(self._old, service.spec), _definition(self._new, spec)
        made, read = self._origins.made(service, old), self._origins.read(service, old)
        for when, before in ((When.RESTART, made), (When.RELOAD, read), (When.NOW, old)):
            yield from (key for key in _changes(before, new) if key.when is when)


def _changes(old: _Definition, new: _Definition) -> Iterator[ChangedKey]:
    for key in changed_keys(old.spec, new.spec):
        # Who has generated files has a table, whose keys say what the commands of actions follow.
        if not (new.files and key.key.startswith("actions.") and key.key.endswith(".command")):
            yield key
    for path in sorted(old.files.keys() | new.files.keys()):
        yield from changed_settings(old.files.get(path), new.files.get(path))
