"""The one task that feeds the engine: events in, effects carried out, clients answered.

Events are taken one after another, in the turn of the loop in which they are posted if nothing is
under way: a dead child is replaced by the callback that reaped it. Whoever posts from within the
work of another event only queues. After ten milliseconds of work the loop gets its turn, so that
the start of five hundred services does not keep a client waiting.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import structlog
from anyio.abc import ObjectReceiveStream
from anyio.streams.memory import MemoryObjectSendStream

from virtsupd.core.effects import Announce, Answer, Effect, Finish, Report, Result, Spawn
from virtsupd.core.engine import Engine
from virtsupd.core.events import Asked, Event, Hung, SpawnFailed, Verb
from virtsupd.core.names import Name
from virtsupd.core.snapshot import Change, ServiceSnapshot
from virtsupd.errors import VirtsupdError
from virtsupd.process.clock import Clock
from virtsupd.supervisor.interpreter import Interpreter
from virtsupd.supervisor.memory import Memory
from virtsupd.supervisor.records import Records

log = structlog.get_logger()

_TURN_SECONDS = 0.01
_SUBSCRIBER_BACKLOG = 1000
_LOUD = frozenset(
    {
        "service failed",
        "service cannot be killed",
        "service clean-up failed",
        "service degraded",
        "condition fell",
        "output lost",
        "job failed",
        "firing missed",
    }
)
_SILENT = frozenset(
    {
        "service starting",
        "service progress",
        "service stopping",
        "guest found",
        "guest ending",
        "guest killed",
    }
    | {"guest ended", "guests unknown"}  # said with more by who asks the guest hosts
)


@dataclass(slots=True)
class _Waiter:
    done: anyio.Event = field(default_factory=anyio.Event)
    answer: Answer | None = None
    failure: VirtsupdError | None = None


class Supervisor:
    """Owner of the engine. All methods are called from the event loop's thread."""

    def __init__(
        self,
        engine: Engine,
        interpreter: Interpreter,
        *,
        memory: Memory,
        records: Records,
        clock: Clock,
    ) -> None:
        self.engine = engine
        self.finished = anyio.Event()
        """Set when a shutdown is complete, or given up."""
        self.has_given_up = False
        """Whether a defect kept a shutdown from stopping the services."""
        self.left: tuple[str, ...] = ()
        """In words, what a shutdown could not end; set when it is complete."""
        self.announced: Callable[[Change], None] = _ignore
        """Called with each change after it was logged; it must not block, and may post."""
        self._interpreter = interpreter
        self._memory = memory
        self._records = records
        self._memory_trouble: str | None = None
        self._clock = clock
        self._events: deque[Event] = deque()
        self._effects: deque[Effect] = deque()
        self._is_busy = False
        self._is_scheduled = False
        self._is_closed = False
        self._interruption: VirtsupdError | None = None
        self._tickets = 0
        self._waiters: dict[int, _Waiter] = {}
        self._subscribers: list[MemoryObjectSendStream[Change]] = []
        interpreter.post = self.post
        interpreter.flush = self._flush

    @property
    def is_idle(self) -> bool:
        """Whether all that was posted is done, and written down as far as that is possible."""
        return not self._events and not self._effects

    @property
    def is_interrupted(self) -> bool:
        """Whether nobody is answered by this program any more."""
        return self._interruption is not None

    @property
    def trouble(self) -> str | None:
        """Why a successor would not know all that it has to."""
        return self._memory_trouble or self._records.trouble

    def post(self, event: Event) -> None:
        """Take an event now, or right after what is under way."""
        if self._is_closed:
            return
        self._events.append(event)
        if not self._is_busy and not self._is_scheduled:
            self._work()

    def shut_down(self, who: str) -> None:
        """Begin to stop everything; `finished` is set when nothing runs any more."""
        self._tickets += 1
        self.post(Asked(self._tickets, Verb.SHUTDOWN, (), who))

    def close(self) -> None:
        """Take no more events: virtsupd is leaving."""
        self._is_closed = True
        self._end_changes()

    def interrupt(self, why: VirtsupdError) -> None:
        """Raise `why` from each `ask`, open or to come, until `resume`, and end all subscriptions.

        What was asked stays in force.
        """
        self._interruption = why
        for waiter in self._waiters.values():
            waiter.failure = why
            waiter.done.set()
        self._end_changes()

    def resume(self) -> None:
        """Answer again."""
        self._interruption = None

    def _end_changes(self) -> None:
        for stream in tuple(self._subscribers):
            self._drop(stream)

    async def ask(
        self,
        verb: Verb,
        names: Sequence[Name],
        *,
        who: str,
        guests: bool = False,
        until: float | None = None,
        once: tuple[str, ...] = (),
    ) -> Answer:
        """Carry out a command and wait for its end; cancelling leaves it in force, without `once`.

        Raises:
            VirtsupdError: this program ceases to answer (`interrupt`).
        """
        if self._interruption is not None:
            raise self._interruption
        self._tickets += 1
        ticket = self._tickets
        waiter = self._waiters[ticket] = _Waiter()
        try:
            asked = tuple(dict.fromkeys(names))
            self.post(Asked(ticket, verb, asked, who, guests=guests, until=until, once=once))
            await waiter.done.wait()
        finally:
            del self._waiters[ticket]
            if waiter.answer is None:
                self.post(Hung(ticket))
        if waiter.failure is not None and waiter.answer is None:
            raise waiter.failure
        if waiter.answer is None:
            raise AssertionError(verb)
        return waiter.answer

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[ObjectReceiveStream[Change]]:
        """Subscribe to changes; a subscriber who is 1,000 behind loses the subscription.

        Raises:
            VirtsupdError: this program ceases to answer (`interrupt`).
        """
        if self._interruption is not None:
            raise self._interruption
        send, receive = anyio.create_memory_object_stream[Change](_SUBSCRIBER_BACKLOG)
        self._subscribers.append(send)
        try:
            with send, receive:
                yield receive
        finally:
            self._drop(send)

    def _work(self) -> None:
        """Take events and carry out their effects, for at most ten milliseconds."""
        self._is_busy = True
        self._is_scheduled = False
        end = self._clock.now().monotonic + _TURN_SECONDS
        try:
            while self._effects or self._events:
                if self._effects:
                    self._do(self._effects.popleft())
                else:
                    self._advance(self._events.popleft())
                if self._clock.now().monotonic > end:
                    break
            if self._effects or self._events:
                self._reschedule()
            else:
                self._interpreter.tidy()
            self._flush()
        finally:
            self._is_busy = False

    def _advance(self, event: Event) -> None:
        try:
            self._effects.extend(self.engine.advance(event, self._clock.now()))
        except Exception:
            log.exception("event could not be taken", event_taken=repr(event))
            if isinstance(event, Asked):
                self._give_up(event)

    def _give_up(self, asked: Asked) -> None:
        """Answer a command that met a defect; a shutdown ends virtsupd all the same."""
        text = "a defect of virtsupd, see its log"
        reports = tuple(Report(name, Result.FAILED, text) for name in asked.names)
        self._effects.append(Answer(asked.ticket, reports))
        if asked.verb is Verb.SHUTDOWN:
            log.critical("shutdown given up: virtsupd ends, the services run on")
            self.has_given_up = True
            self.finished.set()

    def _reschedule(self) -> None:
        self._is_scheduled = True
        asyncio.get_running_loop().call_soon(self._work)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Answer():
                self._flush()
                waiter = self._waiters.get(effect.ticket)
                if waiter is not None:
                    waiter.answer = effect
                    waiter.done.set()
            case Announce():
                self._announce(effect)
            case Finish():
                for what in effect.left:
                    log.warning("left behind", what=what)
                self.left = effect.left
                self._memory.forget_wanted()
                self.finished.set()
            case _:
                self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        """Have an effect carried out; one that fails unforeseen costs its service, nobody else."""
        try:
            self._interpreter.carry_out(effect)
        except Exception as error:
            log.exception("effect could not be carried out", effect=repr(effect))
            if isinstance(effect, Spawn):
                text = f"a defect of virtsupd: {error!r}"
                name, generation = effect.name, effect.generation
                self.post(SpawnFailed(name, generation, "defect", text, is_permanent=False))

    def _flush(self) -> None:
        """Write down what is wanted and what is, before anybody is told that it is so."""
        self._records.flush()
        try:
            self._memory.flush()
        except OSError as error:
            trouble = f"what is wanted could not be written down: {error.strerror}"
            if trouble != self._memory_trouble:
                log.warning("what is wanted could not be written down", reason=str(error))
            self._memory_trouble = trouble
        else:
            self._memory_trouble = None

    def _announce(self, effect: Announce) -> None:
        if effect.name not in self.engine.graph.spec_by_name:
            log.info(effect.event, service=effect.name)
            return
        snapshot = self.engine.snapshot(effect.name)
        change = Change(effect.event, snapshot)
        _log_change(change.event, snapshot)
        self.announced(change)
        for stream in tuple(self._subscribers):
            try:
                stream.send_nowait(change)
            except (anyio.WouldBlock, anyio.BrokenResourceError):
                self._drop(stream)

    def _drop(self, stream: MemoryObjectSendStream[Change]) -> None:
        if stream in self._subscribers:
            self._subscribers.remove(stream)
            stream.close()


def _ignore(change: Change) -> None:
    return


def _log_change(event: str, snapshot: ServiceSnapshot) -> None:
    if event in _SILENT:
        return
    facts: dict[str, object] = {"service": snapshot.spec.name}
    if snapshot.pid is not None:
        facts["pid"] = snapshot.pid
    if event in ("service exited", "service failed") and snapshot.last_exit is not None:
        facts["exit_status"] = str(snapshot.last_exit.status)
    if event in _LOUD and snapshot.reason is not None:
        facts["reason"] = snapshot.reason.text
    if snapshot.warnings and event in ("service running", "service clean-up failed"):
        facts["warnings"] = snapshot.warnings
    (log.warning if event in _LOUD else log.info)(event, **facts)
