"""The simulated host: processes, cgroups, time, and what a crash of virtsupd does not touch.

Everything that happens is an entry of one queue, so a run is a function of its seed. The world knows
the truth about each process: what it is, who made it, and what may be done to it; whoever signals
something that is not its own raises `Violation` there and then.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from random import Random
from typing import Literal

from virtsupd.core.exits import ExitStatus
from virtsupd.core.names import Name
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.lives import Life

TREE = Path("/sim")
_FIRST_PID = 50_000_000
"""Far above any real pid: a look at the real /proc finds nobody."""
_PIDS = 128
"""So few that they are soon used again."""
_MOST_LEFT = 2
"""Of one service: with so many from earlier starts there come no more."""
_TICKS = 100
_MOST_LATENCY = 0.02
_MOST_PID1_DELAY = 2.0
TERM, KILL = 15, 9

Role = Literal["leader", "first", "worker", "daemon", "guest", "stranger"]


class Violation(AssertionError):  # noqa: N818 - a promise was broken, not a program
    """A promise was broken."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the processes of a service do. Times are seconds from the start."""

    ready_after: float | None = 0.0
    """None: never."""
    loses_notify: bool = False
    lives: float | None = None
    """Until its leader ends by itself; None: for ever."""
    code: int = 1
    """What it ends with then."""
    on_term: Literal["ends", "exits", "slow", "ignores"] = "ends"
    workers: int = 0
    """Further processes in its group; they outlive the leader."""
    worker_ignores: bool = False
    daemons: int = 0
    """Processes that forked away: sessions of their own, in its cgroup."""
    guests: int = 0
    """Under stop mode `process`: what lives in its cgroup and is not the service."""
    spawn: Literal["works", "fails", "never works"] = "works"
    reload_fails: bool = False


@dataclass(slots=True, eq=False)
class Process:
    """One process. `maker` is the number of the virtsupd whose child it is, or was born in."""

    pid: int
    started: int
    role: Role
    group: int
    maker: int
    name: Name | None = None
    generation: int = 0
    cgroup: "SimCgroup | None" = None
    behaviour: Behaviour = field(default_factory=Behaviour)
    is_alive: bool = True
    is_reaped: bool = False
    is_ready: bool = False
    is_released: bool = False
    """Its service has stopped, and the stop mode did not cover it."""
    is_mistaken: bool = False
    """It was taken for its leader, which died before anybody wrote down which process it was."""
    is_lost: bool = False
    """Its leader died before anybody wrote down which group was its own."""
    is_unkillable: bool = False
    killed: bool = False
    status: ExitStatus = field(default_factory=ExitStatus)
    has_keeper: bool = False
    """How it ends is written down, whoever reaps it: a one-shot."""
    on_exit: Callable[[ExitStatus], None] | None = None
    """Who watches it; a crash of virtsupd takes that away."""

    @property
    def leads_session(self) -> bool:
        return self.group == self.pid

    @property
    def is_lead(self) -> bool:
        """Whether two of these at a time would be one service run twice."""
        return self.role in ("leader", "first")


class SimCgroup(Cgroup):
    """A cgroup of the world: one object for each path, whether or not the directory is there."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.members: dict[int, Process] = {}
        self.is_there = False
        self.was_killed = False

    def make(self) -> None:
        if not self.is_there:
            self.is_there = True
            self.was_killed = False

    def pids(self) -> tuple[int, ...]:
        return tuple(sorted(self.members))

    def contains(self, pid: int) -> bool:
        return pid in self.members

    def remove(self) -> bool:
        self.is_there = bool(self.members)
        return not self.members


class World:
    """The host. What virtsupd is told of it goes through `tell`, which a crash of it cuts off."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 1000.0
        self.wall_offset = 1e9
        self.epoch = "boot-1"
        self.tells_status = self.random.random() < 0.5
        """Whether the kernel tells how a process ended that is not our child (Linux 6.15)."""
        self.cgroups: dict[Path, SimCgroup] = {}
        self.processes: dict[int, Process] = {}
        """By pid, until reaped."""
        self.by_name: dict[Name, list[Process]] = {}
        """The living ones of each service, guests among them."""
        self.written: dict[Name, ExitStatus] = {}
        """How the last one-shot of a name ended, as its keeper wrote it down."""
        self.remains: set[Name] = set()
        """Of whom something outlives the processes, which a clean-up command takes away."""
        self.last_deaths: dict[Name, float] = {}
        """When the last leader of a name ended."""
        self.on_death: list[Callable[[Process], None]] = []
        self.on_ready: list[Callable[[Process], None]] = []
        self.on_signal: Callable[[Process, int], None] = _allow
        self.life = 0
        """The number of the virtsupd that lives; what an earlier one waits for never comes."""
        self.is_watched = False
        """Whether a virtsupd lives."""
        self._queue: list[tuple[float, int, int, Callable[[], None]]] = []
        self._order = count()
        self._next_pid = 0

    # Time

    def at(self, seconds: float, call: Callable[[], None], *, life: int = 0) -> None:
        """Have something happen so many seconds from now; with `life`, only while that lives."""
        heappush(self._queue, (self.now + seconds, next(self._order), life, call))

    def soon(self, call: Callable[[], None]) -> None:
        """Tell the virtsupd that lives something, after the time such news takes."""
        heappush(self._queue, (self.now + self.latency(), next(self._order), self.life, call))

    def latency(self) -> float:
        return self.random.random() ** 3 * _MOST_LATENCY

    def run(self, until: float) -> Iterator[None]:
        """Let happen what is due by then, one thing for each step of the iterator."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            at, _, life, call = heappop(queue)
            if not life or (life == self.life and self.is_watched):
                self.now = max(self.now, at)
                call()
                yield
        self.now = max(self.now, until) if until != float("inf") else self.now

    @property
    def is_idle(self) -> bool:
        return not self._queue

    # Processes

    def cgroup(self, path: Path) -> SimCgroup:
        """Return the cgroup there, which need not exist."""
        found = self.cgroups.get(path)
        if found is None:
            found = self.cgroups[path] = SimCgroup(path)
        return found

    def make(self, role: Role, group: int | None, maker: int, like: Process | None) -> Process:
        """Make a process; `like` is one of the same service and cgroup."""
        pid = self._free_pid()
        made = Process(pid, int(self.now * _TICKS), role, group or pid, maker)
        if like is not None:
            made = replace(
                like, pid=pid, started=made.started, role=role, group=made.group, maker=maker
            )
            made.on_exit = None
        return self._add(made)

    def _add(self, made: Process) -> Process:
        self.processes[made.pid] = made
        if made.cgroup is not None:
            made.cgroup.members[made.pid] = made
        if made.name is not None:
            self.by_name.setdefault(made.name, []).append(made)
        return made

    def spawn(self, first: Process) -> Process:
        """Bring a service's first process to life, and with it what it is going to do."""
        cgroup = first.cgroup
        if cgroup is not None and cgroup.was_killed and not cgroup.members:
            raise Violation(
                f"{first.name} is born in a cgroup that was killed: the kernel kills it"
            )
        self._add(first)
        behaviour = first.behaviour
        self.at(0.001, lambda: self._branch_out(first))
        if first.role == "leader" and behaviour.lives is not None:
            ended = ExitStatus(behaviour.code)
            self.at(behaviour.lives, lambda: self.end(first, ended))
        return first

    def new_pid(self) -> tuple[int, int]:
        return self._free_pid(), int(self.now * _TICKS)

    def _branch_out(self, first: Process) -> None:
        if not first.is_alive:
            return
        behaviour = first.behaviour
        lead = self._fork_away(first) if first.role == "first" else first
        for _ in range(behaviour.workers):
            self.make("worker", lead.group, first.maker, first)
        left = sum(process.is_released for process in self.living(first.name or Name("")))
        for _ in range(behaviour.daemons if left < _MOST_LEFT else 0):
            self.make("daemon", None, first.maker, first)
        for _ in range(behaviour.guests if left < _MOST_LEFT else 0):
            self.make("guest", None, first.maker, first)

    def _fork_away(self, first: Process) -> Process:
        """The first process of a forking service makes the real one, and ends well."""
        leader = self.make("leader", None, first.maker, first)
        if first.behaviour.lives is not None:
            ended = ExitStatus(first.behaviour.code)
            self.at(first.behaviour.lives, lambda: self.end(leader, ended))
        self.at(0.001, lambda: self.end(first, ExitStatus(0)))
        return leader

    def _free_pid(self) -> int:
        groups = {process.group for process in self.processes.values() if process.is_alive}
        for _ in range(_PIDS):
            self._next_pid = (self._next_pid + 1) % _PIDS
            pid = _FIRST_PID + self._next_pid
            if pid not in self.processes and pid not in groups:
                return pid
        raise AssertionError("the simulated host is full")

    def end(self, process: Process, status: ExitStatus) -> None:
        """Let a process end; somebody reaps it a little later."""
        if not process.is_alive:
            return
        process.is_alive = False
        process.status = status
        if process.cgroup is not None:
            del process.cgroup.members[process.pid]
        if process.name is not None:
            self.by_name[process.name].remove(process)
            if process.role == "leader" or process.is_mistaken:
                self.last_deaths[process.name] = self.now
            if process.has_keeper and process.role == "leader":
                self.written[process.name] = status
        for told in tuple(self.on_death):
            told(process)
        if self.is_watched and process.maker == self.life:
            self.soon(lambda: self.reap(process))
        else:
            self._leave_to_pid1(process)

    def reap(self, process: Process) -> None:
        """The parent has looked: the number is free, and who watches is told."""
        if process.is_reaped:
            return
        process.is_reaped = True
        self.processes.pop(process.pid)
        told, process.on_exit = process.on_exit, None
        if told is not None:
            told(process.status)

    def _leave_to_pid1(self, process: Process) -> None:
        """PID 1 reaps it, some time; an adopter may be told before or after that."""
        self.at(self.random.random() * _MOST_PID1_DELAY, lambda: self._reap_as_pid1(process))
        if process.on_exit is not None:
            self.soon(lambda: self.tell_adopter(process))

    def _reap_as_pid1(self, process: Process) -> None:
        if not process.is_reaped:
            process.is_reaped = True
            self.processes.pop(process.pid)

    def tell_adopter(self, process: Process) -> None:
        """Tell a virtsupd whose child it is not; how it ended it may have seen, or not."""
        told, process.on_exit = process.on_exit, None
        if told is not None:
            is_known = process.has_keeper or self.tells_status or not process.is_reaped
            told(process.status if is_known else ExitStatus())

    def becomes_orphaned(self) -> None:
        """Nobody watches any more, and PID 1 inherits its dead children."""
        self.is_watched = False
        for process in self.processes.values():
            process.on_exit = None
            if not process.is_alive and process.maker == self.life:
                self._leave_to_pid1(process)
        self.on_death.clear()
        self.on_ready.clear()

    def reboot(self) -> None:
        """Everything is gone; pids and times begin anew."""
        self._queue.clear()
        self.processes.clear()
        self.remains.clear()
        self.by_name.clear()
        self.cgroups.clear()
        self.on_death.clear()
        self.on_ready.clear()
        self.epoch = f"boot-{int(self.epoch[5:]) + 1}"

    # Looks and signals

    def living(self, name: Name) -> list[Process]:
        return self.by_name.get(name, [])

    def lead(self, name: Name) -> Process | None:
        return next((p for p in self.living(name) if p.is_lead), None)

    def alive(self, pid: int | None) -> Process | None:
        found = self.processes.get(pid) if pid is not None else None
        return found if found is not None and found.is_alive else None

    def life_of(self, process: Process) -> Life:
        return Life(process.pid, process.started, self.epoch)

    def held(self, life: Life) -> Process | None:
        """Return exactly that process, living or not reaped yet."""
        found = self.processes.get(life.pid)
        is_it = found is not None and self.life_of(found) == life
        return found if is_it else None

    def group(self, number: int) -> list[Process]:
        """Return the living members of a group."""
        return [p for p in self.processes.values() if p.is_alive and p.group == number]

    def signal(self, process: Process, number: int) -> None:
        """Deliver a signal of virtsupd; what may not be signalled raises `Violation`."""
        if not process.is_alive:
            return
        self.on_signal(process, number)
        if number == KILL:
            process.killed = True
            if not process.is_unkillable:
                self._end_soon(process, ExitStatus(signal=KILL), self.latency())
        elif number == TERM:
            self._terminate(process)

    def _terminate(self, process: Process) -> None:
        manner = process.behaviour.on_term
        if process.role == "worker" and process.behaviour.worker_ignores:
            manner = "ignores"
        match manner:
            case "ends":
                self._end_soon(process, ExitStatus(signal=TERM), self.latency())
            case "exits":
                self._end_soon(process, ExitStatus(0), self.latency())
            case "slow":
                self._end_soon(process, ExitStatus(0), 1.5)
            case "ignores":
                pass

    def _end_soon(self, process: Process, status: ExitStatus, seconds: float) -> None:
        self.at(seconds, lambda: self.end(process, status))


def _allow(_process: Process, _number: int) -> None:
    return
