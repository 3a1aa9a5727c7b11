"""The configuration in force, and how another one takes its place: as a whole or not at all."""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import anyio
import anyio.lowlevel
import structlog

from virtsupd.config.kinds import Registry
from virtsupd.config.load import Loaded, load
from virtsupd.control.backend import JobOrder
from virtsupd.control.commands import ShuttingDownError
from virtsupd.control.plan import Plan, Step
from virtsupd.control.server import ControlServer
from virtsupd.core.engine import Engine
from virtsupd.core.events import Added, Reloaded
from virtsupd.core.forecast import Fate
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name
from virtsupd.daemon import surroundings
from virtsupd.daemon.origins import Origins
from virtsupd.daemon.planning import (
    canonical,
    ended_by,
    harmful,
    misfits,
    planned_steps,
    unattended,
    with_harms,
)
from virtsupd.daemon.scheduled import Scheduled
from virtsupd.errors import ConfigError, ReexecutingError
from virtsupd.process.aside import aside
from virtsupd.process.clock import Clock
from virtsupd.process.files import UnsafeDirectoryError
from virtsupd.supervisor.host_files import HostFiles
from virtsupd.supervisor.supervisor import Supervisor

log = structlog.get_logger()

_LOAD_SECONDS = 30.0
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
        self.harms: Callable[[Collection[Name]], Awaitable[Mapping[Name, str]]] = _no_harms
        """Asked what guests would lose by the end of services, in words that say how it is kept."""
        self._kinds = kinds
        self._files = files
        self._server = server
        self._scheduled = scheduled
        self._clock = clock
        self._origins = Origins()
        self._turn = anyio.Lock()
        """One looks at the files at a time: a second reload judges what the first has made."""

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

    async def plan(self, supervisor: Supervisor, names: Sequence[str] = ()) -> Plan:
        """Load the files again and return what a reload would do now; nothing is written or changed.

        `names` are what the steps are to be about, as they are or as the files have them; none: all.

        Raises:
            ConfigError: with every reason for which a reload would be refused.
            UnknownServiceError: nobody has one of the names.
            VirtsupdError: virtsupd is ending, or becomes another program.
        """
        async with self._turn:
            event, plan = await self._prepare(await self._load(), supervisor)
        if not names:
            return plan
        wanted = canonical(supervisor.engine, event, names)
        return replace(plan, steps=tuple(step for step in plan.steps if step.name in wanted))

    async def reload(self, supervisor: Supervisor) -> Plan:
        """Load the files again and apply the difference; return what that was.

        When cancelled, nothing has changed.

        Raises:
            ConfigError: with every reason. The configuration in force stays, and so do its generated
                files: a service that starts reads what it did before.
            VirtsupdError: virtsupd is ending, or becomes another program; nothing has changed.
        """
        async with self._turn:
            event, plan = await self._prepare(new := await self._load(), supervisor)
            # Nothing is awaited from here on: what was found out holds until it is done.
            try:
                self._write(new)
                self._server.change_access(new.access)
            except ConfigError as error:
                raise ConfigError(
                    (*error.problems, *self._files.put_back(self.loaded, new))
                ) from error
            self._origins.note(supervisor.engine, self.loaded, plan.steps)
            self.loaded = new
            supervisor.post(event)
            self.changed()
        _log_reload(plan)
        return plan

    async def unfit(self, names: Collection[Name]) -> Mapping[Name, str]:
        """Return which services would end if they read their files again now, and why."""
        canonical_names = self.loaded.graph.canonical
        readers = {file.reader for file in self.loaded.generated if file.reader and file.reread}
        if not any(canonical_names.get(reader) in names for reader in readers):
            return {}
        found = await surroundings.unfit(self.loaded)
        return {name: why for name, why in found.items() if name in names}

    async def _load(self) -> Loaded:
        path = self.loaded.path
        try:
            return await aside(partial(load, path, self._kinds), _LOAD_SECONDS)
        except TimeoutError as error:
            text = f"{path}: cannot be read within {_LOAD_SECONDS:g} s; the one in force stays"
            raise ConfigError((text,)) from error

    async def _prepare(self, new: Loaded, supervisor: Supervisor) -> tuple[Reloaded, Plan]:
        """Return what would put a configuration in force at this moment, and what that would do.

        Raises:
            ConfigError: it cannot be put in force.
            VirtsupdError: virtsupd is ending, or becomes another program.
        """
        if hindered := await surroundings.hindrances(new):
            raise ConfigError(hindered)
        faults = await surroundings.faults(new)
        remarks = await surroundings.remarks(new)
        unfit = await surroundings.unfit(new)
        harms: dict[Name, str] = {}
        asked: frozenset[Name] = frozenset()
        while True:
            # What is under way may be the end of what a guest is bound to: the verdict comes after it.
            while not supervisor.is_idle:
                await anyio.lowlevel.checkpoint()
            _check_life(supervisor)
            event = self._event(new, supervisor.engine, unfit)
            steps = planned_steps(supervisor.engine, self.loaded, new, event, self._origins)
            if asked >= (ending := ended_by(steps)):
                break  # and nothing has changed since it was looked at
            harms |= await self.harms(ending - asked)
            asked |= ending
        misfit, worse = misfits(steps, faults, event.graph)
        if refused := (*misfit, *harmful(steps, harms)):
            raise ConfigError(refused)
        warnings = (*worse, *_warnings(self.loaded, new, steps, unfit), *remarks)
        return event, Plan(with_harms(steps, harms), warnings)

    def _event(self, new: Loaded, engine: Engine, unfit: Collection[Name]) -> Reloaded:
        """Return what would put a configuration in force at this moment.

        Raises:
            ConfigError: it cannot be put in force.
        """
        graph = self._scheduled.graph(new, engine.graph.canonical)
        problems = (
            *_fixed_settings(self.loaded, new),
            *_moved(self.loaded, new, engine),
            *engine.reload_problems(graph),
        )
        if problems:
            raise ConfigError(problems)
        return Reloaded(graph, new.host.shutdown, frozenset(unfit))

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


async def _no_harms(_: Collection[Name]) -> Mapping[Name, str]:
    return {}


def _fixed_settings(old: Loaded, new: Loaded) -> tuple[str, ...]:
    """Return what cannot change while virtsupd runs, one line each."""
    return tuple(
        f"{new.path}: host.{key}: {getattr(new.host, key)} instead of {getattr(old.host, key)} "
        "takes a restart of virtsupd; nothing was changed"
        for key in _FIXED
        if getattr(new.host, key) != getattr(old.host, key)
    )


def _moved(old: Loaded, new: Loaded, engine: Engine) -> Iterator[str]:
    """Yield that a libvirt that lives stays where it is: all who speak with it would look elsewhere."""
    for name in old.guest_hosts.keys() & new.guest_hosts.keys():
        if old.addresses != new.addresses and engine.service(name).is_alive:
            yield (
                f"{new.path}: libvirt.unix_sock_dir: {name} is alive, with its sockets where they are; "
                f"stop it first, its guests run on: virtsupctl stop {name}"
            )


def _check_life(supervisor: Supervisor) -> None:
    """Check that virtsupd goes on.

    Raises:
        ReexecutingError, ShuttingDownError: it does not, or not as this program.
    """
    if supervisor.is_interrupted:
        raise ReexecutingError
    if supervisor.engine.is_shutting_down:
        raise ShuttingDownError


def _warnings(
    old: Loaded,
    new: Loaded,
    steps: Sequence[Step],
    unfit: Mapping[Name, str],
) -> Iterator[str]:
    """Yield what is worth knowing of a configuration before it is put in force."""
    yield from unattended(steps, old, new)
    yield from (warning for warning in new.warnings if warning not in old.warnings)
    for step in steps:
        if step.fate is Fate.UNREAD and step.name in unfit:
            yield f"{step.name} is not told of its changed files, over which it would end: {unfit[step.name]}"


def _log_reload(plan: Plan) -> None:
    lists = {key: getattr(plan, key) for key in ("added", "changed", "pending", "removed")}
    log.info("configuration reloaded", **lists)
    for warning in plan.warnings:
        log.warning("configuration or host", reason=warning)
