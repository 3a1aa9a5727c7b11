"""What the control socket may ask: questions and commands, passed on to the part that answers."""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Literal

import structlog
from anyio.abc import ObjectReceiveStream

from virtsupd import __version__
from virtsupd.config.kinds import Registry
from virtsupd.config.load import Loaded
from virtsupd.config.show import definition_text
from virtsupd.config.toml_text import value_text
from virtsupd.control.backend import DaemonFacts, JobOrder
from virtsupd.control.plan import Plan
from virtsupd.core.chain import Explanation
from virtsupd.core.commands import Touch
from virtsupd.core.effects import Answer, Report, Result
from virtsupd.core.events import Verb
from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name
from virtsupd.core.snapshot import Change, ServiceSnapshot
from virtsupd.core.spec import ServiceSpec
from virtsupd.daemon.ending import End
from virtsupd.daemon.guarding import Guarding
from virtsupd.daemon.reexecution import Reexecution
from virtsupd.daemon.reloading import Configuration
from virtsupd.daemon.remarks import Remarks, explained, remarked
from virtsupd.errors import (
    ActionError,
    ArgumentsError,
    ReexecutingError,
    UnknownActionError,
    VirtsupdError,
)
from virtsupd.process.log_files import log_files
from virtsupd.supervisor.commands import last_line
from virtsupd.supervisor.interpreter import Interpreter
from virtsupd.supervisor.linux import LinuxMachine
from virtsupd.supervisor.supervisor import Supervisor

log = structlog.get_logger()

_WRONG_USAGE = 64
"""EX_USAGE of sysexits.h: an action's way to say that its arguments are wrong. 2 says too much else."""


@frozen
class Beginning:
    """What holds from the start of virtsupd to its end."""

    since: float
    """Wall clock."""
    lacks: tuple[str, ...]
    """What this host does not provide, and what that means for every service."""
    kinds: Registry
    reexecs: int = 0
    """How often it became another program before."""


class DaemonBackend:
    """The `Backend` of the control socket, which says what each method means and raises."""

    def __init__(
        self,
        *,
        beginning: Beginning,
        configuration: Configuration,
        supervisor: Supervisor,
        interpreter: Interpreter,
        machine: LinuxMachine,
        reexecution: Reexecution,
    ) -> None:
        self._beginning = beginning
        self._configuration = configuration
        self._supervisor = supervisor
        self._interpreter = interpreter
        self._machine = machine
        self._ending = reexecution.ending
        self._reexecution = reexecution
        self._guarding = Guarding(beginning.kinds, supervisor)
        configuration.harms = self._guarding.harms

    def facts(self) -> DaemonFacts:
        """Return what `status root` shows."""
        loaded = self._configuration.loaded
        trouble, failure = self._supervisor.trouble, self._reexecution.failure
        return DaemonFacts(
            pid=os.getpid(),
            version=__version__,
            since=self._beginning.since,
            config=str(loaded.path),
            socket=str(loaded.host.socket),
            shutdown=self._supervisor.engine.shutdown_view(),
            phase=self._phase(),
            reexecs=self._beginning.reexecs,
            warnings=(
                *loaded.warnings,
                *self._beginning.lacks,
                *((trouble,) if trouble is not None else ()),
                *((failure,) if failure is not None else ()),
                *self._machine.outputs.warnings,
            ),
        )

    def resolve(self, name: str) -> Name:
        """Return the canonical name of the service that provides `name`."""
        return self._supervisor.engine.graph.resolve(name)

    def snapshot(self, name: Name) -> ServiceSnapshot:
        """Return one service."""
        return remarked(self._supervisor.engine.snapshot(name), self._remarks())

    def snapshots(self) -> Sequence[ServiceSnapshot]:
        """Return all services, sorted by name."""
        engine, remarks = self._supervisor.engine, self._remarks()
        return [remarked(engine.snapshot(name), remarks) for name in engine.names()]

    def why(self, name: Name) -> Explanation:
        """Return why a service is as it is, down to the causes."""
        return explained(self._supervisor.engine.why(name), self._remarks())

    def would_touch(self, verb: Verb, names: Sequence[Name]) -> Touch:
        """Return what a command would stop and start now."""
        return self._supervisor.engine.would_touch(verb, names)

    async def refusal(
        self, verb: Verb, names: Sequence[Name], *, guests: bool = False, force: bool = False
    ) -> Sequence[Report]:
        """Return how `ask` would refuse a command now."""
        if not force and (found := await self._guarding.refusal(verb, names)) is not None:
            return found.reports
        return self._supervisor.engine.refusal(verb, names, guests=guests)

    async def harms(self, names: Sequence[Name]) -> Mapping[Name, str]:
        """Return what guests that run on would lose by the end of each of these services."""
        return await self._guarding.harms(names)

    async def ask(  # noqa: PLR0913  what a command may say, each by its name
        self,
        verb: Verb,
        names: Sequence[Name],
        *,
        who: str,
        guests: bool = False,
        force: bool = False,
        until: float | None = None,
        once: tuple[str, ...] = (),
    ) -> Answer:
        """Carry out a command on the graph and wait for its end.

        A service that would end if it read its files again is not told to: nothing is reloaded. What
        would cost guests that run on something is refused, unless it is forced.
        """
        if verb is Verb.RELOAD and (unfit := await self._configuration.unfit(names)):
            return Answer(0, tuple(_unfit_report(name, unfit.get(name)) for name in names))
        if not force and (refusal := await self._guarding.refusal(verb, names)) is not None:
            return refusal
        do = partial(
            self._supervisor.ask, verb, names, who=who, guests=guests, until=until, once=once
        )
        answer = await (self._guarding.forced(verb, names, do) if force else do())
        return _annotated(answer, self._configuration.loaded) if verb is Verb.RELOAD else answer

    def changes(self) -> AbstractAsyncContextManager[ObjectReceiveStream[Change]]:
        """Subscribe to changes of all services."""
        return self._supervisor.changes()

    async def reload_configuration(self) -> Plan:
        """Read the configuration again and apply the difference."""
        return await self._configuration.reload(self._supervisor)

    async def plan_reload(self, names: Sequence[str]) -> Plan:
        """Return what that would do now."""
        return await self._configuration.plan(self._supervisor, names)

    def schedule(self, order: JobOrder, *, who: str) -> Name:
        """Have a command run once, at its time."""
        return self._configuration.schedule(order, self._supervisor, who=who)

    async def act(self, name: Name, action: str, arguments: Sequence[str]) -> Sequence[str]:
        """Carry out a service's own action."""
        if self._supervisor.is_interrupted:
            raise ReexecutingError
        spec = self._spec(name)
        found = next((a for a in spec.actions if a.name == action), None)
        if found is None:
            raise UnknownActionError(action, name)
        if found.is_interactive:
            raise ActionError(f"{action} needs a terminal: virtsupctl {action} {name}")
        command = (*found.command, *arguments)
        try:
            outcome = await self._machine.commands.run_action(spec, command, found.timeout_seconds)
        except VirtsupdError as error:
            raise ActionError(f"cannot run {action} of {name}: {error}") from error
        lines = outcome.output.decode(errors="replace").splitlines()
        if outcome.timed_out:
            raise ActionError(f"{action} of {name}: no end within {found.timeout_seconds:g} s")
        if outcome.status.code == _WRONG_USAGE:
            raise ArgumentsError(f"{action} of {name}: {last_line(outcome.output)}")
        if outcome.status.code != 0:
            raise ActionError(f"{action} of {name} {outcome.status}: {last_line(outcome.output)}")
        return lines

    def log_files(self, name: Name) -> Sequence[str]:
        """Return a service's log files that there are, the one in use first."""
        process = self._spec(name).process
        return log_files(process.log.file) if process and process.log.file else ()

    async def settle_log(self, name: Name) -> None:
        """Return once what a service has written so far is in its log file, or after a second."""
        await self._machine.outputs.drained(name)

    def pids(self, name: Name) -> Sequence[int]:
        """Return the processes of a service."""
        return self._interpreter.pids(name) or self._machine.left(name)

    def others(self, name: Name) -> int:
        """Return how many processes in a service's cgroup its stop leaves alone."""
        return self._machine.others(name, self._interpreter.run(name))

    def definition(self, name: Name) -> str:
        """Return the definition in force as TOML."""
        sources = self._configuration.loaded.sources.get(name, ())
        once = self._supervisor.engine.service(name).once
        note = f"# its process was started with --once, for that run alone: {value_text(once)}\n"
        return definition_text(self._spec(name), sources) + (note if once else "")

    async def reexec(self, *, who: str) -> str:
        """Begin to become another program, and return its version."""
        return await self._reexecution.begin(who)

    def _remarks(self) -> Remarks:
        try:
            return self._configuration.loaded.remarks()
        except Exception:
            log.exception("a kind cannot say what is remarkable about its services")
            return {}

    def _phase(self) -> Literal["running", "shutting-down", "re-executing"]:
        if self._ending.how == "shutdown":
            return "shutting-down"
        return "re-executing" if self._supervisor.is_interrupted else "running"

    def end(self, how: End, *, who: str) -> None:
        """Begin to end virtsupd; a shutdown that has begun is not turned into a quit."""
        self._ending.begin(how, who=who)

    def _spec(self, name: Name) -> ServiceSpec:
        return self._supervisor.engine.graph.spec_by_name[name]


def _unfit_report(name: Name, why: str | None) -> Report:
    text = "nothing was reloaded: see the others" if why is None else f"it would end over {why}"
    return Report(name, Result.FAILED, f"{name}: {text}")


def _annotated(answer: Answer, loaded: Loaded) -> Answer:
    """Say of a reload that does less than one may think what it did, and what takes another command."""
    notes = {file.reader: file.after_reload for file in loaded.generated if file.after_reload}
    return replace(
        answer,
        reports=tuple(
            replace(report, message=f"{report.message}: {notes[report.name]}")
            if report.result is Result.DONE and report.name in notes
            else report
            for report in answer.reports
        ),
    )
