"""Ending a domain: asked politely, again and again, or at once; libvirt may be away meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import structlog

from virtsupd.core.domain import DomainSpec, GuestStop
from virtsupd.process.clock import Clock
from virtsupd.process.domains import DomainError, DomainLink, DomainNews, DomainState
from virtsupd.supervisor.domain_ends import has_ended, is_in_transit
from virtsupd.supervisor.libvirts import LOST_SECONDS, Libvirts

log = structlog.get_logger()

_ASK_AGAIN_SECONDS = 15.0
"""A guest that is still in its boot loader does not hear the power button."""
_DESTROY_AGAIN_SECONDS = 1.0


@dataclass(eq=False, slots=True, kw_only=True)
class DomainStop:
    """One attempt to end a domain in one way. It takes as long as it takes: deadlines are the caller's."""

    domain: DomainSpec
    how: GuestStop
    libvirts: Libvirts
    begun: anyio.Event
    """What is under way of its start is waited for, before it is asked to end or, if it is destroyed,
    before that is done once more."""
    clock: Clock
    note: Callable[[str], None]
    """Told why it does not end."""
    reached: Callable[[bool], None]
    """Told that libvirt can be asked, whose answer was heard; and that it cannot after all, if it went
    away before it took anything. So nobody is destroyed, after a delay, who was never asked."""
    _is_reached: bool = field(default=False, init=False)
    _has_taken: bool = field(default=False, init=False)
    """Libvirt has answered to what was asked of the guest."""
    _is_unsavable: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Return when the domain has ended; when cancelled, what was asked of it stands."""
        pause = _ASK_AGAIN_SECONDS
        if self.how is GuestStop.DESTROY:
            pause = _DESTROY_AGAIN_SECONDS
        while True:
            await self.libvirts.connected(self.domain.uri, self.note)
            try:
                if await self._attempt(self.libvirts.link(self.domain.uri)):
                    return
            except DomainError as error:
                if error.kind == "unreachable":
                    self._tell(is_reached=False)
                    await self.clock.sleep(LOST_SECONDS)
                    continue
                self._tell(is_reached=True)
                self.note(str(error))
            await self.clock.sleep(pause)

    async def _attempt(self, link: DomainLink) -> bool:
        """Ask once; return whether it has ended."""
        domain = self.domain.domain
        await self._await_begin(link)
        try:
            await self._ask(domain, link)
            self._has_taken = True
            await self.begun.wait()
        except DomainError as error:
            self._has_taken = self._has_taken or error.kind != "unreachable"
            if error.kind != "unreachable" and await _is_off(domain, link):
                return True
            raise
        return await _is_off(domain, link)

    async def _await_begin(self, link: DomainLink) -> None:
        """Wait for what is under way of the start, as long as the time to end allows."""
        if self.how is not GuestStop.DESTROY and not self.begun.is_set():
            await link.domains()
            self._tell(is_reached=True)
            await self.begun.wait()

    def _tell(self, *, is_reached: bool) -> None:
        if is_reached is not self._is_reached and not (self._has_taken and self._is_reached):
            self._is_reached = is_reached
            self.reached(is_reached)

    async def _ask(self, domain: str, link: DomainLink) -> None:
        """Ask in the way of the policy; a paused guest hears nothing, and loses nothing if it is saved.

        What cannot be saved is asked to power off, for which a paused one is resumed, unless it may
        run on another host.
        """
        paused = await _paused(domain, link) if self.how is not GuestStop.DESTROY else None
        self._tell(is_reached=True)
        is_to_save = self.how is GuestStop.SAVE or paused is not None
        if is_to_save and not self._is_unsavable and await self._is_saved(domain, link, paused):
            return
        if paused is not None:
            await link.resume(domain)
        match self.how:
            case GuestStop.DESTROY:
                await link.destroy(domain)
            case GuestStop.ACPI:
                await link.shutdown(domain, "acpi")
            case GuestStop.AGENT:
                await link.shutdown(domain, "agent")
            case _:
                await _shut_down(domain, link)

    async def _is_saved(self, domain: str, link: DomainLink, paused: DomainNews | None) -> bool:
        try:
            await link.save(domain)
        except DomainError as error:
            if error.kind == "unreachable" or is_in_transit(paused):
                raise
            self._is_unsavable = True
            self.note(str(error))
            text = "guest cannot be saved, and is asked to power off"
            log.warning(text, domain=domain, reason=str(error))
            return False
        return True


async def _shut_down(domain: str, link: DomainLink) -> None:
    """Ask the agent, which is sure to hear it if it answers; else press the power button."""
    try:
        await link.shutdown(domain, "agent")
    except DomainError as error:
        if error.kind in ("unreachable", "no-such-domain"):
            raise
        await link.shutdown(domain, "acpi")


async def _paused(domain: str, link: DomainLink) -> DomainNews | None:
    """Return how a domain is, if it is paused."""
    found = (await link.domains()).get(domain)
    return found if found is not None and found.state is DomainState.PAUSED else None


async def _is_off(domain: str, link: DomainLink) -> bool:
    found = (await link.domains()).get(domain)
    return found is None or has_ended(found.state)
