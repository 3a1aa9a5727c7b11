"""Guests that are no services: their hosts are asked and told in child tasks, which only post events.

What is done about a guest, when, and how long it may take, the engine decides.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

import anyio
import structlog
from anyio.abc import TaskGroup

from virtsupd.config.kinds import GuestHost, RunCommand
from virtsupd.config.load import Loaded
from virtsupd.core.domain import DomainSpec, GuestStop
from virtsupd.core.effects import EndGuest, FindGuests
from virtsupd.core.events import GuestEnded, GuestsFound
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd, RunningGuest
from virtsupd.core.spec import ServiceSpec, Stop
from virtsupd.errors import GuestError, VirtsupdError
from virtsupd.process.command import CommandOutcome
from virtsupd.supervisor.commands import Commands, last_line

log = structlog.get_logger()

_ENDS: Final = {GuestStop.SAVE: GuestEnd.SAVE, GuestStop.DESTROY: GuestEnd.KILL}
"""Of the ways to end a guest that is a service, those that are no polite request."""

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
        self,
        loaded: Callable[[], Loaded],
        *,
        seen: Callable[[], Collection[DomainSpec]],
        commands: Commands,
        tasks: TaskGroup,
    ) -> None:
        """Take what returns the configuration in force, and the domains that end as services.

        Those that a service stands for, and that nobody has seen as such, are found like all others.
        """
        self._loaded = loaded
        self._seen = seen
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
            services = self._services()
            ending = {domain for domain, spec in services.items() if _is_others(spec, self._seen())}
            listed = await self._host(name).running(self._runner(name), ending)
            by_domain = {domain.domain: spec.stop for domain, spec in services.items()}
            found = [_by_its_policy(guest, by_domain.get(guest.name)) for guest in listed]
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

    def _services(self) -> Mapping[DomainSpec, ServiceSpec]:
        specs = self._loaded().graph.spec_by_name.values()
        return {spec.domain: spec for spec in specs if spec.domain is not None}

    def _runner(self, name: Name) -> RunCommand:
        async def run(command: Sequence[str], timeout_seconds: float) -> str:
            spec = self._loaded().graph.spec_by_name[name]
            outcome = await self._commands.run_action(spec, tuple(command), timeout_seconds)
            return _output(command[0], outcome, timeout_seconds)

        return run


def _is_others(spec: ServiceSpec, seen: Collection[DomainSpec]) -> bool:
    """Whether a guest ends as the service that it is, or is to be left."""
    return spec.domain in seen or spec.stop.how is GuestStop.LEAVE


def _by_its_policy(guest: RunningGuest, stop: Stop | None) -> RunningGuest:
    """Return a guest that is a service, though its service does not run, with what that says of it."""
    if stop is None:
        return guest
    end = _ENDS.get(stop.how or GuestStop.SHUTDOWN, GuestEnd.SHUTDOWN)
    return replace(guest, end=guest.end or end, timeout_seconds=stop.delay_seconds)


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
