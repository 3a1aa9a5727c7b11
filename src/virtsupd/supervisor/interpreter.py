"""The one interpreter of effects: what the engine decided is done here, and what came of it posted.

Every effect is carried out at once and synchronously; what takes time (probes, waiting for
leftovers, reload commands) is begun on the machine and ends by posting an event. The interpreter
keeps the books: which run is whose, what is recorded before what, and which late news is void.

Before a process is made or a living one signalled, all that was decided so far is written down
(`flush`), so that a successor finds the world as its records say, or one step ahead of them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

import structlog

from virtsupd.core.effects import (
    Adopt,
    Announce,
    Answer,
    ArmTimer,
    AwaitReady,
    CancelTimer,
    Effect,
    EndWatches,
    Finish,
    Forget,
    Keep,
    Kill,
    Release,
    Remember,
    RememberFirings,
    RememberShutdown,
    RunCleanUp,
    RunPrepare,
    RunReload,
    Spawn,
    Terminate,
    WatchCondition,
    WatchHealth,
)
from virtsupd.core.events import (
    Adopted,
    BecameReady,
    Event,
    Exited,
    Gone,
    NeverMade,
    NeverReady,
    Prepared,
    ReloadEnded,
    Spawned,
    SpawnFailed,
    Told,
)
from virtsupd.core.exits import ExitStatus, signal_name
from virtsupd.core.machine import LastWords
from virtsupd.core.names import Name
from virtsupd.core.spec import NotifyProbe, Stop
from virtsupd.errors import SpawnError, VirtsupdError
from virtsupd.process.plan import Child
from virtsupd.supervisor.domain_work import DomainWork, NoDomains
from virtsupd.supervisor.guest_effects import GuestEffect, touch_guests
from virtsupd.supervisor.guests import GuestWork, NoGuests
from virtsupd.supervisor.handing_over import of_runs
from virtsupd.supervisor.machine import Machine
from virtsupd.supervisor.memory import Memory
from virtsupd.supervisor.record import Record
from virtsupd.supervisor.records import Records
from virtsupd.supervisor.runs import Run
from virtsupd.supervisor.timers import EngineTimers
from virtsupd.supervisor.unseen import Unseen

log = structlog.get_logger()


class Interpreter:
    """Carries out effects. Owns the runs; nobody else touches them."""

    def __init__(
        self,
        *,
        machine: Machine,
        records: Records,
        memory: Memory,
        timers: EngineTimers,
        guests: GuestWork | None = None,
    ) -> None:
        """Take the parts; without `guests` there are none but services."""
        self._machine = machine
        self._records = records
        self._memory = memory
        self._timers = timers
        self._guests = guests or NoGuests()
        self.domains: DomainWork = NoDomains()
        """Put there before the first service stands for a domain."""
        self._runs: dict[Name, Run] = {}
        self._preparing: dict[Name, Callable[[], None]] = {}
        """What cuts short what prepares a start."""
        self._cut: set[Name] = set()
        """Starts that are being prepared and are not to come any more."""
        self._unseen = Unseen(self._adopt)
        self.post: Callable[[Event], None] = _nowhere
        self.flush: Callable[[], None] = records.flush
        """Writes down what was decided so far."""
        self.forgot: Callable[[Name], None] = _nobody
        """Told of each service that left the graph for good."""

    def carry_out(self, effect: Effect) -> None:
        """Do what an effect says, except Answer, Announce and Finish, which are the loop's."""
        if isinstance(effect, GuestEffect):
            self.flush()
            touch_guests(effect, self._guests, self.domains, self.post)
            return
        match effect:
            case RunPrepare() | Spawn() | Adopt() | Terminate() | Kill() | RunReload():
                self._touch_process(effect)
            case AwaitReady() | WatchCondition() | WatchHealth() | EndWatches():
                self._watch(effect)
            case ArmTimer() | CancelTimer():
                self._set_timer(effect)
            case Keep() | Remember() | RememberShutdown() | RememberFirings():
                self._note(effect)
            case Release() | Forget() | RunCleanUp():
                self._give_back(effect)
            case Announce() | Answer() | Finish():
                raise AssertionError(effect)
            case _:
                assert_never(effect)

    def run(self, name: Name) -> Run | None:
        """Return what there is of a service's present start."""
        return self._runs.get(name)

    def leader(self, name: Name) -> int | None:
        """Return the pid of a service's first process, if it has one."""
        run = self._runs.get(name)
        return run.leader if run is not None else None

    def pids(self, name: Name) -> tuple[int, ...]:
        """Return all processes in a service's cgroup; where there is none, its leader's family."""
        run = self._runs.get(name)
        return tuple(self._machine.pids(run)) if run is not None else ()

    def handed(self) -> dict[str, int]:
        """Return what is open for present starts, named for the program that this one becomes."""
        return of_runs(self._runs.values())

    def tidy(self) -> None:
        """Remove what services that have stopped and were not started again leave behind."""
        self._machine.tidy()

    def leave(self) -> None:
        """Let go of every run without a signal: its processes go on."""
        self._timers.cancel_all()
        self._unseen.clear()
        for run in self._runs.values():
            self._machine.leave(run)

    def _touch_process(
        self, effect: RunPrepare | Spawn | Adopt | Terminate | Kill | RunReload
    ) -> None:
        match effect:
            case RunPrepare():
                self._prepare(effect)
            case Spawn():
                self._spawn(effect)
            case Adopt():
                self._unseen.take_over(effect)
            case Terminate() | Kill():
                self._end(effect)
            case RunReload():
                self._reload(effect)
            case _:
                assert_never(effect)

    def _watch(self, effect: AwaitReady | WatchCondition | WatchHealth | EndWatches) -> None:
        if isinstance(effect, WatchCondition):
            self._machine.watch_condition(effect, self.post)
            return
        if self.domains.has(effect.name):
            self.domains.watch(effect, self.post)
            return
        run = self._runs.get(effect.name)
        match effect:
            case AwaitReady():
                self._machine.watch_ready(run, effect, self._found)
            case WatchHealth():
                if run is not None:
                    self._machine.watch_health(run, effect, self.post)
            case EndWatches():
                self._machine.end_watches(run, effect.name)
            case _:
                assert_never(effect)

    def _set_timer(self, effect: ArmTimer | CancelTimer) -> None:
        if isinstance(effect, ArmTimer):
            self._timers.arm(effect)
        else:
            self._timers.cancel(effect.name, effect.timer)

    def _note(self, effect: Keep | Remember | RememberShutdown | RememberFirings) -> None:
        match effect:
            case Keep():
                self._records.keep(effect.name, effect.service)
            case Remember():
                self._memory.note(effect)
            case RememberShutdown():
                self._memory.note_shutdown(effect.order)
            case RememberFirings():
                self._memory.note_firings(effect.name, effect.firings)
            case _:
                assert_never(effect)

    def _give_back(self, effect: Release | Forget | RunCleanUp) -> None:
        if isinstance(effect, RunCleanUp):
            self.flush()
            self._machine.clean_up(effect, self.post)
            return
        self._machine.release(effect.name)
        if isinstance(effect, Forget):
            self.domains.forget(effect.name)
            self._machine.forget(effect.name)
            self._records.forget(effect.name)
            if effect.is_over:
                self.forgot(effect.name)

    # Starting

    def _prepare(self, effect: RunPrepare) -> None:
        self.flush()
        self._preparing[effect.name] = self._machine.run_prepare(
            effect, lambda why: self._prepared(effect, why), self.post
        )

    def _prepared(self, effect: RunPrepare, why: str | None) -> None:
        """Post how a preparation has ended, or that nothing is left of one that was cut short."""
        name, generation = effect.name, effect.generation
        del self._preparing[name]
        was_cut = name in self._cut
        self._cut.discard(name)
        self.post(Gone(name, generation) if was_cut else Prepared(name, generation, why))

    def _spawn(self, effect: Spawn) -> None:
        name, generation = effect.name, effect.generation
        try:
            run, record = self._machine.prepare(effect)
            self._begin_record(run, record)
            self.flush()
            child = self._make(run, effect)
        except SpawnError as error:
            self.post(SpawnFailed(name, generation, error.stage, str(error), error.is_permanent))
            return
        except OSError as error:
            text = error.strerror or str(error)
            self.post(SpawnFailed(name, generation, "prepare", text, is_permanent=False))
            return
        self._runs[name] = run
        self._watch_leader(run, child.pid)
        if run.is_settled or run.cgroup is None:
            life = self._machine.life(child.pid)
            self._records.note(name, life, run.group, is_settled=run.is_settled)
        self.post(Spawned(name, generation, child.pid, child.warnings))
        if effect.ready.probe is not None and not isinstance(effect.ready.probe, NotifyProbe):
            self._machine.watch_ready(run, effect, self._found)

    def _begin_record(self, run: Run, record: Record) -> None:
        """Record that a process is about to be made; without that, only a cgroup tells of it.

        Raises:
            SpawnError: it could not be written, and no cgroup of its own would show the process to
                a successor (stage "record").
        """
        try:
            self._records.begin(run.name, record)
        except OSError as error:
            if not run.has_own_cgroup:
                self._machine.discard(run)
                self._records.end(run.name)
                text = f"cannot record the start: {error.filename}: {error.strerror}"
                raise SpawnError("record", text, is_permanent=False) from error
            log.warning("start could not be recorded", service=run.name, reason=str(error))

    def _make(self, run: Run, effect: Spawn) -> Child:
        try:
            self._check_written(run)
            return self._machine.spawn(run, effect)
        except BaseException:
            self._machine.discard(run)
            self._records.end(run.name)
            raise

    def _check_written(self, run: Run) -> None:
        if self._memory.is_firing_unwritten(run.name):
            text = "its firing cannot be written down, and would be repeated after a crash"
            raise SpawnError("record", text, is_permanent=False)

    def _watch_leader(self, run: Run, pid: int) -> None:
        run.leader = pid
        run.is_others = lambda other: other != run.leader and self._machine.is_taken(other)
        self._machine.watch_exit(run, pid, lambda status: self._exited(run, pid, status))

    def _found(self, event: Event) -> None:
        """Post what a probe found; a leader that it named is watched from here on."""
        if isinstance(event, BecameReady) and event.pid is not None:
            run = self._runs.get(event.name)
            if run is None or run.generation != event.generation or run.ending is not None:
                return
            if event.pid != run.leader and self._machine.is_taken(event.pid):
                text = f"its pid file names process {event.pid}, which is something else"
                self.post(NeverReady(event.name, event.generation, text))
                return
            self._take_leader(run, event.pid)
        self.post(event)

    def _take_leader(self, run: Run, pid: int) -> None:
        run.is_settled = True
        if run.leader != pid:
            self._machine.unwatch_exit(run)
            self._machine.take_leader(run, pid)
            self._watch_leader(run, pid)
        self._records.note(run.name, self._machine.life(pid), run.group)

    def told(self, run: Run, event: Event) -> None:
        """Post what a service said of itself, if it is about its present start."""
        if self._runs.get(run.name) is run:
            self.post(event)

    # Taking over

    def _adopt(self, effect: Adopt) -> None:
        name, generation = effect.name, effect.generation
        record = self._records.record(name)
        found = None
        # That of an earlier start tells who may be left of it, and stays.
        if record is not None and record.generation == generation:
            try:
                found = self._machine.adopt(effect, record)
            except PermissionError as error:
                text = f"cannot look for what an earlier virtsupd started: {error}"
                self.post(SpawnFailed(name, generation, "leftovers", text, is_permanent=True))
                return
            if found is None:
                self._records.end(name)
        if record is None or found is None:
            self.post(NeverMade(name, generation))
            return
        run = self._runs[name] = found.run
        if run.leader is not None:
            self._watch_leader(run, run.leader)
            if run.is_settled and record.leader is None:
                self._records.note(name, self._machine.life(run.leader), run.group)
        self.post(Adopted(name, generation, run.leader, was_heard=found.was_heard))
        if found.status is not None:
            self.post(Exited(name, generation, found.status))

    # Ending

    def _exited(self, run: Run, pid: int, status: ExitStatus) -> None:
        if run.leader != pid:
            return
        if run.notify is not None:
            run.notify.drain()
        run.leader = None
        run.was_killed = run.was_killed or signal_name(status.signal or 0) == "SIGKILL"
        run.is_unheard = True
        self._machine.hear_out(run, lambda words: self._heard_out(run, status, words))

    def _heard_out(self, run: Run, status: ExitStatus, words: LastWords) -> None:
        run.is_unheard = False
        if self._runs.get(run.name) is not run:
            return
        is_told = words.text and not run.was_killed
        told = replace(status, words=words.text) if is_told else status
        self.post(Exited(run.name, run.generation, told, end=words.end))
        if run.ending is not None:
            run.ending()

    def _end(self, effect: Terminate | Kill) -> None:
        if self._unseen.is_still(effect.name):  # its Gone comes once it was found
            self.post(Told(effect.name, effect.generation, "denied", "it cannot be looked for"))
            return
        if effect.name in self._preparing:  # its Gone comes once nothing of that is left
            self._cut.add(effect.name)
            self._preparing[effect.name]()
            return
        run = self._runs.get(effect.name)
        if run is None or run.generation != effect.generation:
            self.post(Gone(effect.name, effect.generation))
            return
        if run.leader is not None:
            self.flush()  # a death that is not written down is found again
        run.ending = lambda: self._look(run, effect.stop)
        try:
            named = self._machine.named_leader(run)
            if named is not None:
                self._take_leader(run, named)
            denied = self._machine.send_end(run, effect)
        except (OSError, VirtsupdError) as error:
            denied = (str(error),)
        if denied:
            log.error("service cannot be signalled", service=run.name, reason=denied)
            self.post(Told(run.name, run.generation, "denied", "; ".join(denied)))
        run.ending()

    def _look(self, run: Run, stop: Stop) -> None:
        """Post Gone if nothing is left; while the leader's end is not told, its exit asks again."""
        if run.leader is not None or run.is_unheard or self._runs.get(run.name) is not run:
            return
        if self._machine.is_gone(run, stop):
            self._gone(run)
        elif not run.is_waiting:
            run.is_waiting = True
            self._machine.when_gone(run, stop, lambda: self._look_again(run))

    def _look_again(self, run: Run) -> None:
        """Ask once more when what was waited for has ended: a Kill since then may cover more."""
        run.is_waiting = False
        if run.ending is not None:
            run.ending()

    def _gone(self, run: Run) -> None:
        del self._runs[run.name]
        suspects = self._machine.suspects(run)
        if suspects:
            self._records.suspect(run.name, suspects)
        else:
            self._records.end(run.name)
        self._machine.close(run)
        self.post(Gone(run.name, run.generation))

    # Reloading

    def _reload(self, effect: RunReload) -> None:
        run = self._runs.get(effect.name)
        if run is None or run.leader is None:
            self.post(ReloadEnded(effect.name, effect.generation, "it has no process"))
        else:
            self._machine.reload(run, effect, self.post)


def _nobody(_name: Name) -> None:
    """Be told, and do nothing."""


def _nowhere(event: Event) -> None:
    raise AssertionError(event)
