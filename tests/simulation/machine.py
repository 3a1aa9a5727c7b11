"""The machine of the simulated host: what `LinuxMachine` does, on processes of the `World`.

It keeps to the same decisions as the real one (who is looked for, who is signalled under which mode,
what counts as gone); what differs is only that nothing exists. Between any two steps that the world
could notice, virtsupd may be struck dead (`Power`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from tests.simulation.power import Power
from tests.simulation.sender import HUP, Sender
from tests.simulation.watcher import Watcher
from tests.simulation.world import TREE, Behaviour, Process, SimCgroup, Violation, World

from virtsupd.core.effects import (
    Adopt,
    AwaitReady,
    Kill,
    RunCleanUp,
    RunPrepare,
    RunReload,
    Spawn,
    Terminate,
    WatchCondition,
    WatchHealth,
)
from virtsupd.core.events import (
    BecameReady,
    CleanedUp,
    Event,
    Fell,
    HealthChanged,
    NeverReady,
    ReloadEnded,
)
from virtsupd.core.exits import ExitStatus
from virtsupd.core.machine import LastWords
from virtsupd.core.names import Name
from virtsupd.core.spec import NotifyProbe, PidFileProbe, ServiceSpec, Stop, StopMode, TcpProbe
from virtsupd.errors import SpawnError
from virtsupd.process.lives import Life
from virtsupd.process.plan import Child
from virtsupd.supervisor.machine import Found, OnExit, Post
from virtsupd.supervisor.record import Record
from virtsupd.supervisor.runs import Run
from virtsupd.supervisor.spare_cgroups import SpareCgroups


class _NoScope:
    """Stands for a run's cancel scope, which needs an event loop."""

    def cancel(self) -> None:
        return


_NO_SCOPE: Any = _NoScope()


@dataclass(slots=True)
class Hooks:
    """What the machine asks of those around it."""

    definition: Callable[[Name], ServiceSpec]
    behaviour: Callable[[Name], Behaviour]
    told: Callable[[Run, Event], None]
    watcher: Watcher
    run: Callable[[Name], Run | None]


@dataclass(slots=True)
class _Wait:
    """Somebody waits for the end of what is left of a service."""

    run: Run
    stop: Stop
    on_gone: Callable[[], None]


@dataclass(slots=True)
class SimMachine:
    """Does on the simulated host what the interpreter asks for (`Machine`), for one virtsupd."""

    world: World
    power: Power
    hooks: Hooks
    health: dict[Name, tuple[int, Post]] = field(default_factory=dict)
    adoptions: int = 0
    spawns: int = 0
    _ready: dict[Name, tuple[int, Post]] = field(default_factory=dict)
    _holding: dict[Name, tuple[int, Post]] = field(default_factory=dict)
    """Conditions that hold, and are watched."""
    _waits: list[_Wait] = field(default_factory=list)
    _cleaning: set[Name] = field(default_factory=set)
    _preparing: set[Name] = field(default_factory=set)
    _prepared: dict[tuple[Name, int], bool] = field(default_factory=dict)
    """By name and generation of the start: whether it leaves something behind, as was said when it began."""
    _spare: SpareCgroups = field(default_factory=SpareCgroups)

    def __post_init__(self) -> None:
        self.world.on_death.append(self._someone_died)
        self.world.on_ready.append(lambda leader: self._is_ready(leader, is_news=True))

    # Starting

    def prepare(self, effect: Spawn) -> tuple[Run, Record]:
        self.power.strike()
        name = effect.name
        self.hooks.watcher.stopped(name)
        mode = self.hooks.definition(name).stop.mode
        forks = isinstance(effect.ready.probe, PidFileProbe)
        kept = self._spare.take(name)
        if kept is not None and (kept.pids() if mode is StopMode.CGROUP else forks):
            kept = None
        cgroup = (
            cast("SimCgroup", kept) if kept is not None else self._cgroup(name, mode, forks=forks)
        )
        run = Run(
            name, effect.generation, effect.process, cgroup, effect.ready.probe, watches=_NO_SCOPE
        )
        run.is_settled = not forks
        run.has_own_cgroup = mode is StopMode.CGROUP
        before = () if run.has_own_cgroup else cgroup.pids()
        run.was_inhabited = bool(before)
        run.began = int(self.world.now * 100)
        self.power.strike()
        return run, Record(
            effect.generation, cgroup.path, before, run.began, is_settled=run.is_settled
        )

    def _cgroup(self, name: Name, mode: StopMode, *, forks: bool) -> SimCgroup:
        first = self.world.cgroup(TREE / f"{name}.service")
        if mode is StopMode.CGROUP:
            self._refuse_leftovers(name)
        if not forks and mode is not StopMode.CGROUP:
            first.remove()
            first.make()
            return first
        found, number = first, 0
        while not found.remove():
            number += 1
            found = self.world.cgroup(TREE / f"{name}.service~{number}")
        found.make()
        return found

    def _refuse_leftovers(self, name: Name) -> None:
        left = self.world.living(name)
        forgotten = [p.pid for p in left if not p.is_released]
        if forgotten:
            raise Violation(f"{name} is refused: {forgotten} of an earlier start were forgotten")
        if left:
            raise SpawnError("leftovers", "its stop mode has changed since", is_permanent=True)

    def spawn(self, run: Run, effect: Spawn) -> Child:
        self.power.strike()
        name, behaviour = run.name, self.hooks.behaviour(run.name)
        self.spawns += 1
        self.hooks.watcher.spawning(name)
        if name in self._cleaning:
            raise Violation(f"{name} is started while its clean-up runs")
        if behaviour.spawn != "works":
            is_permanent = behaviour.spawn == "never works"
            raise SpawnError("exec", "no such file", is_permanent=is_permanent)
        leaves = self.hooks.definition(name).clean_up is not None
        if self._prepared.get((name, run.generation), leaves):
            self.world.remains.add(name)
        pid, started = self.world.new_pid()
        first = Process(
            pid,
            started,
            "first" if isinstance(effect.ready.probe, PidFileProbe) else "leader",
            pid,
            self.world.life,
            name,
            run.generation,
            cast("SimCgroup", run.cgroup),
            behaviour,
            has_keeper=self._is_one_shot(name),
        )
        self.world.written.pop(name, None)
        self._plan_readiness(self.world.spawn(first))
        self.power.strike()
        run.leader = run.group = pid
        return Child(pid)

    def _plan_readiness(self, process: Process) -> None:
        after = process.behaviour.ready_after
        if after is not None:
            self.world.at(max(after, 0.005), lambda: self._gets_ready(process))

    def _gets_ready(self, process: Process) -> None:
        """Happens in the world, whoever is there to hear of it."""
        leader = process
        if process.role == "first":
            found = (p for p in self.world.living(process.name or Name("")) if p.role == "leader")
            leader = next((p for p in found if p.generation == process.generation), process)
        if leader.is_alive and leader.role == "leader":
            leader.is_ready = True
            for told in tuple(self.world.on_ready):
                told(leader)

    def discard(self, run: Run) -> None:
        self.power.strike()
        if run.cgroup is not None:
            run.cgroup.remove()

    # Taking over

    def adopt(self, effect: Adopt, record: Record) -> Found | None:
        self.power.strike()
        self.adoptions += 1
        run = self._run_of(effect, record)
        leader = record.leader or self._unrecorded(run, record)
        written = self.world.written.get(run.name)
        written = written if written is not None and self._is_one_shot(run.name) else None
        if leader is None and written is None and not self._has_left_something(run, record):
            return None
        held = self.world.held(leader) if leader is not None else None
        status = None
        if held is not None and held.is_alive:
            run.leader = held.pid
            run.group = run.group or held.pid
        elif leader is None:
            self._lose_group(record)
        if run.leader is None and run.is_settled:
            status = held.status if held is not None else written or ExitStatus()
        return Found(run, status)

    def _lose_group(self, record: Record) -> None:
        """A first process died before it was recorded: nobody knows the number of its group."""
        cgroup = self.world.cgroup(record.cgroup) if record.cgroup is not None else None
        for pid in cgroup.pids() if cgroup is not None else ():
            self.world.processes[pid].is_lost = pid not in record.before

    def _run_of(self, effect: Adopt, record: Record) -> Run:
        name, probe = effect.name, self.hooks.definition(effect.name).ready.probe
        cgroup = self.world.cgroup(record.cgroup) if record.cgroup is not None else None
        run = Run(name, effect.generation, effect.process, cgroup, probe, watches=_NO_SCOPE)
        run.is_adopted = True
        run.has_own_cgroup = self.hooks.definition(name).stop.mode is StopMode.CGROUP
        run.is_settled = record.is_settled
        run.group, run.began = self._own_group(record), record.began
        return run

    def _own_group(self, record: Record) -> int:
        leader = self.world.held(record.leader) if record.leader is not None else None
        if record.leader is None or (leader is not None and leader.is_alive):
            return record.group if leader is not None and leader.group == record.group else 0
        first = self.world.alive(record.group)
        if first is not None and first.started > record.leader.started:
            return 0
        members = self.world.group(record.group)
        cgroup = record.cgroup
        is_ours = any(p.cgroup is not None and p.cgroup.path == cgroup for p in members)
        return record.group if is_ours else 0

    def _has_left_something(self, run: Run, record: Record) -> bool:
        return run.cgroup is not None and bool(set(run.cgroup.pids()) - set(record.before))

    def _is_one_shot(self, name: Name) -> bool:
        return self.hooks.definition(name).one_shot

    def _unrecorded(self, run: Run, record: Record) -> Life | None:
        if run.cgroup is None:
            return None
        members = (self.world.alive(pid) for pid in run.cgroup.pids() if pid not in record.before)
        leading = [p for p in members if p is not None and p.leads_session]
        if not run.has_own_cgroup:
            leading = [p for p in leading if p.role != "guest"]  # it prints elsewhere
        first = min(leading, key=lambda p: (p.started, not p.is_lead, p.pid), default=None)
        if first is None:
            return None
        if not first.is_lead:
            first.is_mistaken = True
            first.role = "daemon"  # all in a cgroup of its own is the service's, whatever it was
            self._lose_group(record)
        return self.world.life_of(first)

    # Watching

    def life(self, pid: int) -> Life | None:
        self.power.check()
        found = self.world.alive(pid)
        return self.world.life_of(found) if found is not None else None

    def watch_exit(self, run: Run, pid: int, on_exit: OnExit) -> None:
        self.power.strike()
        found = self.world.processes.get(pid)
        if found is None:
            self.world.soon(lambda: on_exit(ExitStatus()))
            return
        found.on_exit = on_exit
        if not found.is_alive:
            self.world.soon(lambda: self.world.tell_adopter(found))

    def unwatch_exit(self, run: Run) -> None:
        self.power.check()
        found = self.world.processes.get(run.leader) if run.leader is not None else None
        if found is not None:
            found.on_exit = None

    def take_leader(self, run: Run, pid: int) -> None:
        self.power.check()
        found = self.world.alive(pid)
        run.group = found.group if found is not None and found.leads_session else run.group

    def is_taken(self, pid: int) -> bool:
        self.power.check()
        found = self.world.processes.get(pid)
        return found is not None and found.on_exit is not None

    def watch_ready(self, run: Run | None, effect: Spawn | AwaitReady, post: Post) -> None:
        self.power.strike()
        name, generation = effect.name, effect.generation
        self._ready[name] = (generation, post)
        if run is None:
            after = self.hooks.behaviour(name).ready_after
            if after is not None:
                found = BecameReady(name, generation)
                self.world.at(after, lambda: self._report(generation, found), life=self.world.life)
            return
        leads = (p for p in self.world.living(name) if p.role == "leader" and p.is_ready)
        for leader in leads:
            self._is_ready(leader, is_news=False)

    def watch_condition(self, effect: WatchCondition, post: Post) -> None:
        self.power.strike()
        self._holding[effect.name] = (effect.generation, post)

    def fails(self, name: Name) -> None:
        """The readiness probe of a service is found never to hold, or not to hold any more."""
        held = self._holding.pop(name, None)
        if held is not None:
            held[1](Fell(name, held[0], "it does not"))
        watch = self._ready.pop(name, None) if held is None else None
        if watch is not None:
            watch[1](NeverReady(name, watch[0], "it cannot"))

    def _is_ready(self, leader: Process, *, is_news: bool) -> None:
        """A service is usable: it says so at that moment, or a probe finds it."""
        run = self.hooks.run(leader.name or Name(""))
        if run is None or leader.name is None or leader.generation != run.generation:
            return
        name, generation = leader.name, run.generation
        match run.ready_probe:
            case NotifyProbe() if is_news and not leader.behaviour.loses_notify:
                self.hooks.told(run, BecameReady(name, generation))
            case TcpProbe():
                self._report_soon(BecameReady(name, generation))
            case PidFileProbe():
                self._report_soon(BecameReady(name, generation, leader.pid))
            case _:
                pass

    def _report_soon(self, event: BecameReady) -> None:
        self.world.soon(lambda: self._report(event.generation, event))

    def _report(self, generation: int, event: BecameReady) -> None:
        """Tell a probe's finding, unless the watch has ended; one that names the dead looks again."""
        watch = self._ready.get(event.name)
        if watch is None or watch[0] != generation:
            return
        if event.pid is None or self.world.alive(event.pid) is not None:
            del self._ready[event.name]
            watch[1](event)

    def watch_health(self, run: Run, effect: WatchHealth, post: Post) -> None:
        self.power.strike()
        self.health[effect.name] = (effect.generation, post)

    def turns(self, name: Name, why: str | None) -> None:
        """The health of a service is found changed, if anybody looks."""
        watch = self.health.get(name)
        if watch is not None:
            watch[1](HealthChanged(name, watch[0], why))

    def end_watches(self, run: Run | None, name: Name) -> None:
        self.power.strike()
        self._ready.pop(name, None)
        self._holding.pop(name, None)
        self.health.pop(name, None)

    # Ending

    def hear_out(self, run: Run, then: Callable[[LastWords], None]) -> None:
        then(LastWords())

    def named_leader(self, run: Run) -> int | None:
        self.power.check()
        if run.is_settled or run.has_own_cgroup or not isinstance(run.ready_probe, PidFileProbe):
            return None
        started = (p for p in self.world.living(run.name) if p.generation == run.generation)
        return next((p.pid for p in started if p.role == "leader" and p.is_ready), None)

    def _seek_kin(self, run: Run) -> None:
        """Take the oldest process with the mark of the start for the one that never named itself."""
        if run.is_settled or run.has_own_cgroup or run.kin:
            return
        started = [p for p in self.world.living(run.name) if p.started >= run.began]
        others = [p for p in started if p.pid != run.leader and p.group != run.group]
        marked = [p for p in others if p.role != "guest"]  # whose environment is another
        found = min(marked, key=lambda p: (p.started, not p.is_lead, p.pid), default=None)
        for process in others:
            process.is_lost = process is not found
        if found is not None:
            found.is_mistaken = not found.is_lead
            run.kin = (self.world.life_of(found),)

    def send_end(self, run: Run, effect: Terminate | Kill) -> tuple[str, ...]:
        self.power.strike()
        self._seek_kin(run)
        remains = run.remains(effect.stop)
        self.hooks.watcher.ending(run.name, remains.mode)
        if isinstance(effect, Kill):
            run.was_killed = True
            Sender(self.world, self.power, remains).kill()
        else:
            Sender(self.world, self.power, remains).terminate()
        self.power.strike()
        return ()

    def is_gone(self, run: Run, stop: Stop) -> bool:
        self.power.check()
        self._seek_kin(run)
        return self._is_gone(run, stop)

    def _is_gone(self, run: Run, stop: Stop) -> bool:
        remains = run.remains(stop)
        if remains.mode is StopMode.PROCESS:
            return self.world.alive(remains.leader) is None
        if remains.mode is StopMode.CGROUP and remains.cgroup is not None:
            return not remains.cgroup.pids()
        kin = (self.world.held(life) for life in remains.kin)
        is_kin_left = any(p is not None and p.is_alive for p in kin)
        return not self.world.group(remains.group) and not is_kin_left

    def when_gone(self, run: Run, stop: Stop, on_gone: Callable[[], None]) -> None:
        self.power.strike()
        self._waits.append(_Wait(run, stop, on_gone))

    def _someone_died(self, _: Process) -> None:
        for wait in tuple(self._waits):
            if self._is_gone(wait.run, wait.stop):
                self._waits.remove(wait)
                self.world.soon(wait.on_gone)

    def suspects(self, run: Run) -> tuple[Life, ...]:
        self.power.check()
        return ()

    def close(self, run: Run) -> None:
        self.power.strike()
        self.unwatch_exit(run)
        if run.cgroup is not None:
            self._spare.keep(run.name, run.cgroup, is_spent=run.is_spent)
        self.power.strike()

    # All else

    def run_prepare(
        self, effect: RunPrepare, then: Callable[[str | None], None], post: Post
    ) -> Callable[[], None]:
        self.power.strike()
        name = effect.name
        self.hooks.watcher.stopped(name)
        if name in self._preparing:
            raise Violation(f"{name} is prepared twice at a time")
        self._preparing.add(name)
        why = "it failed" if self.hooks.behaviour(name).reload_fails else None

        leaves = self.hooks.definition(name).clean_up is not None
        is_open = [True]

        def ended() -> None:
            if is_open:
                is_open.clear()
                self._preparing.remove(name)
                if why is None:
                    self._prepared[name, effect.generation] = leaves
                then(why)

        self.world.at(0.3, ended, life=self.world.life)
        return lambda: self.world.at(0.1, ended, life=self.world.life)

    def reload(self, run: Run, effect: RunReload, post: Post) -> None:
        self.power.strike()
        name, generation = effect.name, effect.generation
        why = "it failed" if self.hooks.behaviour(name).reload_fails else None
        if effect.reload.signal is not None:
            Sender(self.world, self.power, run.remains(Stop())).to_leader(HUP)
            post(ReloadEnded(name, generation, None))
        else:
            ended = ReloadEnded(name, generation, why)
            self.world.at(0.3, lambda: post(ended), life=self.world.life)

    def clean_up(self, effect: RunCleanUp, post: Post) -> None:
        self.power.strike()
        name = effect.name
        self.hooks.watcher.stopped(name)
        why = "it failed" if self.hooks.behaviour(name).reload_fails else None
        self._cleaning.add(name)

        def ended() -> None:
            self._cleaning.remove(name)
            self.world.remains.discard(name)
            post(CleanedUp(name, effect.generation, why))

        self.world.at(0.3, ended, life=self.world.life)

    def release(self, name: Name) -> None:
        self.power.strike()

    def forget(self, name: Name) -> None:
        self.power.strike()
        self.hooks.watcher.forgotten(name)

    def pids(self, run: Run) -> Sequence[int]:
        return run.cgroup.pids() if run.cgroup is not None else ()

    def tidy(self) -> None:
        self.power.check()
        self._spare.tidy()

    def leave(self, run: Run) -> None:
        self.unwatch_exit(run)
