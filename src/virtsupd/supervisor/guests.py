"""Guests that are no services: their hosts are asked and told in child tasks, which only post events.

What is done about a guest, when, and how long it may take, the engine decides.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import anyio
import structlog
from anyio.abc import TaskGroup

from virtsupd.config.kinds import GuestHost, RunCommand
from virtsupd.config.load import Loaded
from virtsupd.core.domain import DomainSpec
from virtsupd.core.effects import EndGuest, FindGuests
from virtsupd.core.events import GuestEnded, GuestsFound
from virtsupd.core.names import Name
from virtsupd.errors import GuestError, VirtsupdError
from virtsupd.process.command import CommandOutcome
from virtsupd.supervisor.commands import Commands, last_line

log = structlog.get_logger()

Post = Callable[[GuestsFound | GuestEnded], None]


class GuestWork(Protocol):
    """Asks guest hosts, and ends guests through them: a port, so that tests can own guests."""

    def find(self, effect: FindGuests, post: Post) -> None:
        """Ask a host; GuestsFound is posted."""
        ...

    def end(self, effect: EndGuest, post: Post) -> None:
        """End a guest; GuestEnded is posted, unless another `end` of the same guest comes before."""
        ...


class NoGuests:
    """Guest hosts of which nobody knows how to ask them."""

    def find(self, effect: FindGuests, post: Post) -> None:
        """Post that it is not known which guests run."""
        post(GuestsFound(effect.name, why="nothing is known of its guests"))

    def end(self, effect: EndGuest, post: Post) -> None:
        """Post that the guest cannot be ended."""
        post(GuestEnded(effect.name, effect.guest, effect.end, "nothing is known of its guests"))


class Guests:
    """The guests that kinds of services know of. What is under way ends with `tasks`."""

    def __init__(
        self, loaded: Callable[[], Loaded], *, commands: Commands, tasks: TaskGroup
    ) -> None:
        """Take what returns the configuration in force."""
        self._loaded = loaded
        self._commands = commands
        self._tasks = tasks
        self._ends: dict[tuple[Name, str], anyio.CancelScope] = {}

    def find(self, effect: FindGuests, post: Post) -> None:
        """Ask a host in a child task."""
        self._tasks.start_soon(self._find, effect, post)

    def end(self, effect: EndGuest, post: Post) -> None:
        """End a guest in a child task; what was under way for it is cancelled."""
        key = (effect.name, effect.guest)
        before = self._ends.get(key)
        if before is not None:
            before.cancel()
        scope = self._ends[key] = anyio.CancelScope()
        log.info("guest ends", guest=effect.guest, service=effect.name, how=effect.end)
        self._tasks.start_soon(self._end, effect, post, scope)

    async def _find(self, effect: FindGuests, post: Post) -> None:
        name = effect.name
        try:
            found = await self._host(name).running(self._runner(name), self._services())
        except Exception as error:  # noqa: BLE001  (a fault of a kind costs its guests alone)
            post(GuestsFound(name, why=_reason(error, f"cannot ask {name} for its guests")))
        else:
            names = [guest.name for guest in found]
            log.info("guests found", service=name, guests=names)
            post(GuestsFound(name, tuple(found)))

    async def _end(self, effect: EndGuest, post: Post, scope: anyio.CancelScope) -> None:
        name, guest, end = effect.name, effect.guest, effect.end
        with scope:
            try:
                await self._host(name).end(guest, end, self._runner(name))
            except Exception as error:  # noqa: BLE001  (as above)
                post(GuestEnded(name, guest, end, _reason(error, f"cannot end guest {guest}")))
            else:
                log.info("guest has ended", guest=guest, service=name)
                post(GuestEnded(name, guest, end))
        if self._ends.get((name, guest)) is scope:
            del self._ends[name, guest]

    def _host(self, name: Name) -> GuestHost:
        host = self._loaded().guest_hosts.get(name)
        if host is None:
            raise GuestError("no longer in the configuration")
        return host

    def _services(self) -> frozenset[DomainSpec]:
        specs = self._loaded().graph.spec_by_name.values()
        return frozenset(spec.domain for spec in specs if spec.domain is not None)

    def _runner(self, name: Name) -> RunCommand:
        async def run(command: Sequence[str], timeout_seconds: float) -> str:
            spec = self._loaded().graph.spec_by_name[name]
            outcome = await self._commands.run_action(spec, tuple(command), timeout_seconds)
            return _output(command[0], outcome, timeout_seconds)

        return run


def _output(program: str, outcome: CommandOutcome, timeout_seconds: float) -> str:
    if outcome.timed_out:
        raise GuestError(f"{program}: no end within {timeout_seconds:g} s")
    if outcome.status.code != 0:
        raise GuestError(f"{program} {outcome.status}: {last_line(outcome.output)}")
    return outcome.output.decode(errors="replace")


def _reason(error: Exception, what: str) -> str:
    """Return why it failed; what a kind did not foresee is a defect, which costs that guest alone."""
    if isinstance(error, VirtsupdError):
        log.warning(what, reason=str(error))
        return str(error)
    log.error(what, exc_info=error)
    return f"a defect of virtsupd: {error!r}"
