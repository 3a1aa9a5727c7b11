"""What guests would lose by the end of a service, asked of its kind before something ends it.

Not asked: a shutdown, in which guests have ended before; the end of virtsupd alone, its becoming
another program and a crash, which leave the service as it is or come unasked.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

import structlog
from anyio.abc import TaskGroup

from virtsupd.config.kinds import Registry, StopGuard
from virtsupd.config.load import Loaded
from virtsupd.core.commands import refused
from virtsupd.core.effects import Answer, Report, Result
from virtsupd.core.events import Told, Verb
from virtsupd.core.names import Name
from virtsupd.core.snapshot import Change
from virtsupd.errors import ReexecError
from virtsupd.process.aside import aside
from virtsupd.supervisor.supervisor import Supervisor

log = structlog.get_logger()

_SECONDS = 5.0
_FORCE = "--force does it all the same"
_TELLING = ("service running", "service failed")
_ENDING = (Verb.START, Verb.STOP, Verb.RESTART)
"""What ends services: those named, those that need them, and rivals of what is started."""


Doing = Callable[[], Awaitable[Answer]]


class Guarding:
    """Asks the guards of services beside the event loop; one that does not answer has something against it."""

    def __init__(self, kinds: Registry, supervisor: Supervisor) -> None:
        """Take the kinds, which know their services also when the configuration does not any more."""
        self._kinds = kinds
        self._supervisor = supervisor

    async def refusal(self, verb: Verb, names: Sequence[Name]) -> Answer | None:
        """Return the refusal of a command that would end what guests depend on; None: it may be given, at once.

        Whoever may give a command was judged by what it touches: it is refused, too, if that has
        become more meanwhile.
        """
        if verb not in _ENDING or not self._are_there(names):
            return None  # the engine says what has gone
        engine = self._supervisor.engine
        before = engine.would_touch(verb, names).stopped
        if not self._guarded(before):
            return None
        harms = await self.harms(before)
        if harms:
            return Answer(0, tuple(_report(verb, name, harms, names) for name in names))
        if self._are_there(names):
            more = set(engine.would_touch(verb, names).stopped).difference(before)
            text = f"{', '.join(sorted(more))} would now be stopped, too; ask again"
            return Answer(0, refused(names, text)) if more else None
        return None

    async def harms(self, names: Collection[Name]) -> Mapping[Name, str]:
        """Return what guests would lose by the end of each of these services, where it is something."""
        found: dict[Name, str] = {}
        for name, (pid, guard) in self._guarded(names).items():
            harm = await self._ask(name, partial(guard.stop_harm, pid))
            if harm is not None:
                found[name] = harm + self._proviso(name)
        return found

    async def forced(self, verb: Verb, names: Sequence[Name], do: Doing) -> Answer:
        """Do what was refused unless forced; the answer says what guests have lost by it."""
        is_asked = verb in _ENDING and self._are_there(names)
        ending = self._supervisor.engine.would_touch(verb, names).stopped if is_asked else ()
        losses = {
            name: (pid, loss)
            for name, (pid, guard) in self._guarded(ending).items()
            if (loss := await self._ask(name, partial(guard.stop_loss, pid))) is not None
        }
        answer = await do()
        lost = {name: loss for name, (pid, loss) in losses.items() if not self._lives(name, pid)}
        return _with_losses(answer, lost)

    async def refuse_to_leave(self, guarded: object, loaded: Loaded) -> None:
        """Check that a new program would have all services whose end would cost guests something now.

        `guarded` are names of such services that it has; it may be of a version that does not say.

        Raises:
            ReexecError: it would be without one of them, as by a reload that is refused.
        """
        if not isinstance(guarded, list):
            return
        kept = loaded.graph.spec_by_name.items()
        left = [name for name, spec in kept if spec.guard and not {*spec.provides} & {*guarded}]
        for name, harm in (await self.harms(left)).items():
            raise ReexecError(f"{name} would be no longer configured: {harm}")

    def announced(self, change: Change, tasks: TaskGroup) -> None:
        """Take a change: when a guarded service runs anew or has failed, its guard is asked what that has cost."""
        name = change.snapshot.spec.name
        if change.event in _TELLING and self._guard(name) is not None:
            tasks.start_soon(self._tell_losses, name)

    async def _tell_losses(self, name: Name) -> None:
        """Show with a service, and in the log, what guests have lost: nobody could refuse a crash."""
        guard = self._guard(name) if self._are_there([name]) else None
        if guard is None:
            return
        generation = self._supervisor.engine.service(name).generation
        lost = await self._ask(name, guard.harm_done)
        if lost is not None:
            log.warning("guests lost something", service=name, reason=lost)
            self._supervisor.post(Told(name, generation, "status", lost))

    def _lives(self, name: Name, pid: int) -> bool:
        return self._are_there([name]) and self._supervisor.engine.service(name).pid == pid

    def _are_there(self, names: Collection[Name]) -> bool:
        return all(name in self._supervisor.engine.graph.spec_by_name for name in names)

    def _guarded(self, names: Collection[Name]) -> Mapping[Name, tuple[int, StopGuard]]:
        """Return the leader and the guard of those of the services that run and have one."""
        found: dict[Name, tuple[int, StopGuard]] = {}
        for name in names:
            pid, guard = self._supervisor.engine.service(name).pid, self._guard(name)
            if pid is not None and guard is not None:
                found[name] = pid, guard
        return found

    def _proviso(self, name: Name) -> str:
        """Say when the way holds that a guard names: nothing but a stop can be asked of what was left over."""
        service = self._supervisor.engine.service(name)
        return f", once [{service.guard}] is configured again" if service.is_left_over else ""

    def _guard(self, name: Name) -> StopGuard | None:
        """Return the guard of a service, also of one that runs on though its table is gone."""
        kind = self._kinds.get(self._supervisor.engine.service(name).guard)
        return kind.parts().stop_guard if kind is not None else None

    async def _ask(self, name: Name, question: Callable[[], str | None]) -> str | None:
        try:
            return await aside(question, _SECONDS)
        except TimeoutError:
            return f"no answer within {_SECONDS:g} s whether guests would lose something"
        except Exception as error:
            log.exception("guests could not be looked at", service=name)
            return f"a defect of virtsupd: {error!r}; guests may lose something"


def _with_losses(answer: Answer, lost: Mapping[Name, str]) -> Answer:
    """Say with each service what its end has cost, and of others with the first."""
    own = {report.name for report in answer.reports}
    reports = list(answer.reports)
    for position, report in enumerate(reports):
        here = [report.name] if report.name in lost else []
        others = [name for name in lost if name not in own] if position == 0 else []
        for name in (*here, *others):
            text = f"{reports[position].message or report.name}; lost with {name}: {lost[name]}"
            reports[position] = replace(reports[position], message=text)
    return replace(answer, reports=tuple(reports))


def _report(verb: Verb, name: Name, harms: Mapping[Name, str], names: Collection[Name]) -> Report:
    """Refuse a command for one of the services that it names; what is said of another is not repeated."""
    if name in harms:
        text = f"{harms[name]}; {_FORCE}"
    elif unnamed := {other: harm for other, harm in harms.items() if other not in names}:
        listed = "; ".join(f"{other} would be stopped: {harm}" for other, harm in unnamed.items())
        text = f"{listed}; {_FORCE}"
    else:
        text = f"nothing was changed, see {', '.join(harms)}"
    return Report(name, Result.REFUSED, f"cannot {verb} {name}: {text}")
