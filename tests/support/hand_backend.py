"""A `Backend` driven by hand: it holds what the test put into it and answers what the test says."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

import anyio
import anyio.lowlevel
from anyio.abc import ObjectReceiveStream
from anyio.streams.memory import MemoryObjectSendStream

from virtsupd.config.difference import ChangedKey, When
from virtsupd.control.backend import Change, DaemonFacts, JobOrder
from virtsupd.control.plan import Plan, Step
from virtsupd.core.chain import Explanation, Link
from virtsupd.core.commands import Touch
from virtsupd.core.effects import Answer, Report, Result
from virtsupd.core.events import Verb
from virtsupd.core.forecast import Fate
from virtsupd.core.host_scope import Phase
from virtsupd.core.names import Name
from virtsupd.core.outlook import Next, NextKind
from virtsupd.core.shutdown_view import ShutdownView, Waiting
from virtsupd.core.snapshot import ServiceSnapshot, State
from virtsupd.core.spec import LogSpec, ProcessSpec, ServiceSpec
from virtsupd.errors import UnknownServiceError, VirtsupdError


def spec_of(name: str, **changes: object) -> ServiceSpec:
    """Return a definition with a command."""
    process = ProcessSpec(command=("/bin/sleep", "1000"), log=LogSpec(file=""))
    fields: dict[str, object] = {"provides": (Name(name),), "process": process} | changes
    return ServiceSpec(name=Name(name), **fields)  # type: ignore[arg-type] # the test's own business


def snapshot_of(
    spec: ServiceSpec, state: State = State.RUNNING, **changes: object
) -> ServiceSnapshot:
    """Return a service that was started at second 1000."""
    fields: dict[str, object] = {
        "wanted": True,
        "wanted_by": "boot",
        "wanted_since": 1000.5,
        "enabled": True,
        "since": 1000.5,
        "pid": 4711 if state is State.RUNNING else None,
    }
    return ServiceSnapshot(spec=spec, state=state, **fields | changes)  # type: ignore[arg-type] # as above


PLAN = Plan(
    (
        Step(Name("new"), "service", Fate.STARTED, is_new=True),
        Step(
            Name("web"),
            "service",
            Fate.PENDING,
            is_up=True,
            is_changed=True,
            keys=(ChangedKey("user", None, '"www"', When.RESTART),),
            command=("restart", "web"),
        ),
    ),
    ("it is late",),
)
"""What a reload does, and would do."""


def link_of(snapshot: ServiceSnapshot, *causes: str, why: str = "as wanted") -> Link:
    """Return a link of a chain of causes, for a service that runs on."""
    runs_on = Next(NextKind.STAYS, "runs on", at=2000.5, then="rests", command=("start", "web"))
    return Link(snapshot, why, snapshot.since, tuple(map(Name, causes)), runs_on, (Name("web"),))


def shutdown_view() -> ShutdownView:
    """Return a shutdown that waits for a guest `vm` of `web` and for the service `db`."""
    return ShutdownView(
        by="root",
        since=1000.5,
        deadline=1840.5,
        phase=Phase.GUESTS,
        guests=5,
        guests_ended=2,
        waits=(
            Waiting("vm", "shutdown", 1300.5, "kill", host=Name("web"), is_guest=True),
            Waiting("db", "SIGTERM", 1005.5, "SIGKILL"),
        ),
        left=("guest vm of web: stuck",),
    )


class HandBackend:
    """The daemon as a test wants it to be."""

    was_forced = False
    """Whether `ask` was told so last."""
    given_once: tuple[str, ...] = ()
    """What `ask` was told last."""
    held_until: float | None = None
    """What `ask` was told last."""
    phase: Literal["running", "shutting-down", "re-executing"] = "running"
    shutdown: ShutdownView | None = None
    failure: VirtsupdError | None = None
    """What `ask`, `act`, `reload_configuration` and `plan_reload` raise."""
    holds: anyio.Event | None = None
    """`ask` waits for it, if there is one."""
    result = Result.DONE
    waiting = 0
    """How many `ask` wait now."""

    def __init__(self, *snapshots: ServiceSnapshot) -> None:
        """Begin with these services."""
        self.by_name = {snapshot.spec.name: snapshot for snapshot in snapshots}
        self.asked: list[tuple[Verb, tuple[Name, ...], str, bool]] = []
        self.families: dict[Name, tuple[int, ...]] = {}
        """What `pids` returns, where it is not the one process of the snapshot."""
        self.last_words: dict[Name, tuple[Path, str]] = {}
        """What of the output of a service is not in its log file yet."""
        self.acted: list[tuple[Name, str, tuple[str, ...]]] = []
        self.scheduled: list[tuple[JobOrder, str]] = []
        self.ended: list[tuple[str, str]] = []
        self.explanations: dict[Name, Explanation] = {}
        """What `why` returns."""
        self.touch = Touch()
        """What `would_touch` returns, whatever the command."""
        self.losses: dict[Name, str] = {}
        """What `harms` returns of the services that it is asked about."""
        self.refusals: dict[tuple[bool, bool], Sequence[Report]] = {}
        """What `refusal` returns, by `guests` and `force`."""
        self._subscribers: list[MemoryObjectSendStream[Change]] = []

    @property
    def subscriptions(self) -> int:
        """How many subscriptions to changes are open."""
        return len(self._subscribers)

    def change(self, event: str, snapshot: ServiceSnapshot) -> None:
        """Let a service be as the snapshot says, and tell all subscribers."""
        self.by_name[snapshot.spec.name] = snapshot
        for subscriber in self._subscribers:
            with suppress(anyio.WouldBlock):  # its end is lost, as the contract says
                subscriber.send_nowait(Change(event, snapshot))

    def end_changes(self) -> None:
        """End all subscriptions, as a daemon does that ends."""
        for subscriber in self._subscribers:
            subscriber.close()

    def facts(self) -> DaemonFacts:
        return DaemonFacts(
            pid=1,
            version="0.1",
            since=999.5,
            config="/c",
            socket="/s",
            phase=self.phase,
            shutdown=self.shutdown,
        )

    def resolve(self, name: str) -> Name:
        for snapshot in self.by_name.values():
            if name in snapshot.spec.provides:
                return snapshot.spec.name
        raise UnknownServiceError(name, "nearest")

    def snapshot(self, name: Name) -> ServiceSnapshot:
        return self.by_name[name]

    def snapshots(self) -> Sequence[ServiceSnapshot]:
        return [self.by_name[name] for name in sorted(self.by_name)]

    def why(self, name: Name) -> Explanation:
        return self.explanations[name]

    def would_touch(self, verb: Verb, names: Sequence[Name]) -> Touch:
        return self.touch

    async def refusal(
        self, verb: Verb, names: Sequence[Name], *, guests: bool = False, force: bool = False
    ) -> Sequence[Report]:
        await anyio.lowlevel.checkpoint()
        return self.refusals.get((guests, force), ())

    async def harms(self, names: Sequence[Name]) -> Mapping[Name, str]:
        await anyio.lowlevel.checkpoint()
        return {name: self.losses[name] for name in names if name in self.losses}

    async def ask(
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
        self.asked.append((verb, tuple(names), who, guests))
        self.given_once = once
        self.was_forced = force
        self.held_until = until
        self.waiting += 1
        try:
            await anyio.lowlevel.checkpoint()
            if self.holds is not None:
                await self.holds.wait()
        finally:
            self.waiting -= 1
        if self.failure is not None:
            raise self.failure
        reports = tuple(Report(name, self.result, "as asked") for name in names)
        return Answer(1, reports, tuple(names))

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[ObjectReceiveStream[Change]]:
        send, receive = anyio.create_memory_object_stream[Change](1000)
        self._subscribers.append(send)
        try:
            with send, receive:
                yield receive
        finally:
            self._subscribers.remove(send)

    async def reexec(self, *, who: str) -> str:
        self.ended.append(("reexec", who))
        if self.failure is not None:
            raise self.failure
        return "0.2"

    async def reload_configuration(self) -> Plan:
        if self.failure is not None:
            raise self.failure
        return PLAN

    async def plan_reload(self, names: Sequence[str]) -> Plan:
        if self.failure is not None:
            raise self.failure
        return Plan(tuple(step for step in PLAN.steps if not names or step.name in names))

    def schedule(self, order: JobOrder, *, who: str) -> Name:
        self.scheduled.append((order, who))
        if self.failure is not None:
            raise self.failure
        return Name(order.name or "timer-1")

    async def act(self, name: Name, action: str, arguments: Sequence[str]) -> Sequence[str]:
        self.acted.append((name, action, tuple(arguments)))
        if self.failure is not None:
            raise self.failure
        return [f"{action} {' '.join(arguments)}"]

    def log_files(self, name: Name) -> Sequence[str]:
        process = self.by_name[name].spec.process
        return [process.log.file] if process and process.log.file else []

    async def settle_log(self, name: Name) -> None:
        file, words = self.last_words.pop(name, (None, ""))
        if file is not None:
            with file.open("a") as log:
                log.write(words)

    def pids(self, name: Name) -> Sequence[int]:
        pid = self.by_name[name].pid
        return self.families.get(name, () if pid is None else (pid,))

    def others(self, name: Name) -> int:
        return len(self.families.get(name, ())[1:])

    def definition(self, name: Name) -> str:
        return f"# {name}\n"

    def end(self, how: Literal["shutdown", "quit"], *, who: str) -> None:
        self.ended.append((how, who))
        self.phase = "shutting-down"
