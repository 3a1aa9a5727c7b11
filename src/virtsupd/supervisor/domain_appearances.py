"""Domains that services stand for, before anybody here has to do with them: known, absent, or there.

A guest that runs while its service is stopped was started by somebody else: it has appeared. One
that only arrives from another host has not, before it runs here.
"""

from collections.abc import Callable, Mapping

from anyio.abc import TaskGroup

from virtsupd.core.domain import DomainSpec
from virtsupd.core.events import Appeared, Defined
from virtsupd.core.names import Name
from virtsupd.process.domains import DomainError, DomainNews, DomainState
from virtsupd.supervisor.domain_ends import has_ended, is_here
from virtsupd.supervisor.libvirts import Libvirts


class Appearances:
    """Posts Defined and Appeared from what libvirt tells. All on the event loop's thread."""

    def __init__(
        self,
        libvirts: Libvirts,
        *,
        declared: Callable[[], Mapping[DomainSpec, Name]],
        is_guest: Callable[[Name], bool],
        post: Callable[[Appeared | Defined], None],
        tasks: TaskGroup,
    ) -> None:
        """Take what returns the domains that services stand for, and which of these are guests now."""
        self._libvirts = libvirts
        self._declared = declared
        self._is_guest = is_guest
        self._post = post
        self._tasks = tasks
        self._left: set[DomainSpec] = set()
        """Those that were let go while they ran: not before they have ended are they taken up again."""
        self._known: set[DomainSpec] = set()
        """Those that libvirt was last heard to have, whether they run or not."""
        self._absent: set[DomainSpec] = set()
        """Those that were last seen not to run here."""

    def leave(self, domain: DomainSpec) -> None:
        """Do not take one up again that runs on by itself, before it has ended."""
        self._left.add(domain)

    def found_up(self, domain: DomainSpec) -> None:
        """Note that one runs here, and is somebody's guest."""
        self._left.discard(domain)
        self._absent.discard(domain)

    def found_ended(self, domain: DomainSpec) -> None:
        """Note that one is nobody's guest any more, since it has ended; it appears if it runs again by now."""
        self._absent.add(domain)
        self.look(domain)

    def found_undefined(self, domain: DomainSpec) -> None:
        """Note that libvirt does not have one."""
        self._known.discard(domain)

    def hear(self, domain: DomainSpec, news: DomainNews) -> None:
        """Take news, which may be older than what is known: what would change much is verified."""
        if news.state is DomainState.GONE:
            self._known.discard(domain)
        else:
            self._know({domain})
        if not is_here(news) and domain in self._declared():
            self._absent.add(domain)
        if has_ended(news.state):
            self._left.discard(domain)
        elif self._may_appear(domain):
            self.look(domain)

    def look(self, domain: DomainSpec) -> None:
        """Have one appear if it runs."""
        self._tasks.start_soon(self._look, domain)

    async def _look(self, domain: DomainSpec) -> None:
        try:
            found = (await self._libvirts.link(domain.uri).domains()).get(domain.domain)
        except DomainError:
            return  # the list that comes with the next connection tells
        if is_here(found):
            self._appear(domain, is_new=domain in self._absent)
            self._absent.discard(domain)

    def compare(self, uri: str, found: Mapping[str, DomainNews]) -> None:
        """Take a full list of the domains: what is not in it is gone."""
        known = {DomainSpec(domain, uri) for domain in found}
        self._known = {domain for domain in self._known if domain in known or domain.uri != uri}
        self._know(known)
        up = {domain for domain in known if not has_ended(found[domain.domain].state)}
        here = {domain for domain in up if is_here(found[domain.domain])}
        self._left = {domain for domain in self._left if domain in up or domain.uri != uri}
        others = {domain for domain in self._absent if domain.uri != uri}
        self._absent = others | {d for d in self._declared() if d.uri == uri and d not in here}
        for domain in sorted(here, key=lambda spec: spec.domain):
            self._appear(domain)

    def _know(self, found: set[DomainSpec]) -> None:
        """Tell of domains that libvirt was not known to have: a start may have failed for that."""
        fresh = found - self._known
        self._known |= fresh
        for domain, name in self._declared().items() if fresh else ():
            if domain in fresh:
                self._post(Defined(name))

    def _may_appear(self, domain: DomainSpec) -> bool:
        name = self._declared().get(domain)
        return name is not None and not self._is_guest(name) and domain not in self._left

    def _appear(self, domain: DomainSpec, *, is_new: bool = False) -> None:
        if self._may_appear(domain):
            self._post(Appeared(self._declared()[domain], is_new))
