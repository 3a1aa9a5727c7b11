"""The configuration in force, and how another one takes its place: as a whole or not at all."""

from collections.abc import Callable

import structlog

from virtsupd.config.kinds import Registry
from virtsupd.config.load import Loaded, load
from virtsupd.control.backend import JobOrder, ReloadOutcome
from virtsupd.control.server import ControlServer
from virtsupd.core.engine import Engine
from virtsupd.core.events import Added, Reloaded
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.spec import ServiceSpec
from virtsupd.daemon.scheduled import Scheduled
from virtsupd.errors import ConfigError
from virtsupd.process.clock import Clock
from virtsupd.process.files import UnsafeDirectoryError
from virtsupd.supervisor.host_files import HostFiles
from virtsupd.supervisor.supervisor import Supervisor

log = structlog.get_logger()

_FIXED = ("run_dir", "state_dir", "socket", "herd_socket", "cgroup", "log_format")
"""Keys of `[host]` that hold from the start of virtsupd to its end."""


class Configuration:
    """The configuration in force; generated files and the rules of access follow it."""

    def __init__(
        self,
        loaded: Loaded,
        kinds: Registry,
        *,
        files: HostFiles,
        server: ControlServer,
        scheduled: Scheduled,
        clock: Clock,
    ) -> None:
        self.loaded = loaded
        """The one in force: whoever keeps a part of it keeps an old one after a reload."""
        self.changed: Callable[[], None] = _nothing
        """Told after each reload that another configuration is in force."""
        self._kinds = kinds
        self._files = files
        self._server = server
        self._scheduled = scheduled
        self._clock = clock

    def graph(self) -> ServiceGraph:
        """Return what virtsupd starts with: the configuration and all that is scheduled."""
        return self._scheduled.graph(self.loaded)

    def schedule(self, order: JobOrder, supervisor: Supervisor, *, who: str) -> Name:
        """Have a command run once, at its time; return the name of its service.

        Raises:
            ActionError: it cannot be; nothing has changed.
        """
        engine, now = supervisor.engine, self._clock.now().wall
        spec = self._scheduled.add(order, self.loaded, engine.graph, now=now, who=who)
        supervisor.post(Added(spec))
        log.info("job scheduled", service=spec.name, at=order.at, who=who)
        return spec.name

    def reload(self, supervisor: Supervisor) -> ReloadOutcome:
        """Load the files again and apply the difference.

        Raises:
            ConfigError: with every reason. The configuration in force stays; generated files
                may be new already if one of them, or a control socket, was what refused.
        """
        new = load(self.loaded.path, self._kinds)
        engine = supervisor.engine
        graph = self._scheduled.graph(new, engine.graph.canonical)
        problems = (*_fixed_settings(self.loaded, new), *engine.reload_problems(graph))
        if problems:
            raise ConfigError(problems)
        self._write(new)
        self._server.change_access(new.access)
        outcome = _difference(engine, graph)
        self.loaded = new
        supervisor.post(Reloaded(graph, new.host.shutdown))
        self.changed()
        log.info("configuration reloaded", changed=outcome.changed, added=outcome.added)
        return outcome

    def _write(self, new: Loaded) -> None:
        try:
            self._files.make_directories(new)
            self._files.write_generated(new)
        except UnsafeDirectoryError as error:
            text = f"{new.path}: {error}; the configuration in force stays"
            raise ConfigError((text,)) from error
        except OSError as error:
            place = error.filename2 or error.filename
            text = f"{new.path}: cannot write {place}: {error.strerror}"
            raise ConfigError((f"{text}; the configuration in force stays",)) from error


def _nothing() -> None:
    return


def _fixed_settings(old: Loaded, new: Loaded) -> tuple[str, ...]:
    """Return what cannot change while virtsupd runs, one line each."""
    return tuple(
        f"{new.path}: host.{key}: {getattr(new.host, key)} instead of {getattr(old.host, key)} "
        "takes a restart of virtsupd; nothing was changed"
        for key in _FIXED
        if getattr(new.host, key) != getattr(old.host, key)
    )


def _difference(engine: Engine, new: ServiceGraph) -> ReloadOutcome:
    before, after = engine.graph.spec_by_name, new.spec_by_name
    both = sorted(set(before) & set(after))
    return ReloadOutcome(
        added=tuple(sorted(set(after) - set(before))),
        changed=tuple(n for n in both if before[n] != after[n]),
        pending=tuple(
            n for n in both if engine.service(n).is_alive and _remakes(before[n], after[n])
        ),
        removed=tuple(sorted(set(before) - set(after))),
    )


def _remakes(before: ServiceSpec, after: ServiceSpec) -> bool:
    return before.process != after.process or before.ready.probe != after.ready.probe
