"""Starting a domain: libvirt may be away meanwhile, and the domain may be on its way from another host."""

from collections.abc import Callable
from dataclasses import dataclass

from virtsupd.process.clock import Clock
from virtsupd.process.domains import DomainError, DomainNews
from virtsupd.supervisor.domain_ends import is_here, is_in_transit
from virtsupd.supervisor.domain_guest import Guest
from virtsupd.supervisor.libvirts import LOST_SECONDS, Libvirts

NOT_ARRIVED = "its migration to this host has ended, and it does not run here"
_TAKEN_BACK = "it was to end before it was started"


@dataclass(eq=False, slots=True, kw_only=True)
class DomainStart:
    """One attempt to have a domain run. It takes as long as it takes: deadlines are the caller's."""

    guest: Guest
    is_current: Callable[[], bool]
    """Whether anybody still has to do with the guest."""
    libvirts: Libvirts
    clock: Clock

    async def run(self) -> None:
        """Return once libvirt has started it, or says that it runs.

        Raises:
            DomainError: it cannot be started; or it is to end, and nothing came of what was asked.
        """
        guest = self.guest
        while True:
            await self._reach()
            try:
                if guest.is_ending:
                    return await self._find()
                if not await self._may_start():
                    continue
                guest.is_asked = True
                return await self.libvirts.link(guest.domain.uri).start(guest.domain.domain)
            except DomainError as error:
                if error.kind != "unreachable":
                    raise
                await self.clock.sleep(LOST_SECONDS)

    async def _reach(self) -> None:
        """Wait until libvirt can be reached; what is to end is not started any more.

        If libvirt was asked to, and its answer was lost, only libvirt knows what came of it.
        """
        guest = self.guest
        with guest.waiting:
            await self.libvirts.connected(guest.domain.uri, guest.tell_waiting)
        if not self.is_current() or (guest.is_ending and not guest.is_asked):
            raise DomainError("failed", _TAKEN_BACK)

    async def _find(self) -> None:
        try:
            found = await self._found()
        except DomainError as error:
            raise DomainError("unreachable", str(error)) from error
        if not is_here(found):
            raise DomainError("failed", _TAKEN_BACK)

    async def _may_start(self) -> bool:
        """Return True if it does not arrive; else False, once something was heard of it.

        libvirt keeps a start waiting while a domain arrives, and boots it if it does not: then it
        would run here and where it came from.

        Raises:
            DomainError: libvirt could not be asked; or it was on its way, and is not here.
        """
        guest = self.guest
        heard = guest.heard
        found = await self._found()
        if is_in_transit(found):
            guest.is_in_transit = True
            guest.tell_arriving()
            with guest.waiting:
                await heard.wait()
            return False
        if guest.is_in_transit and not is_here(found):
            raise DomainError("failed", NOT_ARRIVED)
        guest.is_in_transit = False
        return True

    async def _found(self) -> DomainNews | None:
        domain = self.guest.domain
        return (await self.libvirts.link(domain.uri).domains()).get(domain.domain)
