"""The libvirts of this host that guests run in: one link to each, kept as long as it is needed."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import anyio
import structlog
from anyio.abc import TaskGroup

from virtsupd.process.clock import Clock
from virtsupd.process.domains import DomainError, DomainLink, DomainNews, DomainState
from virtsupd.process.filechanges import FileChanges

log = structlog.get_logger()

LOST_SECONDS = 0.2
"""How soon a call is tried again that found the connection lost, before that was told."""
_LIST_AGAIN_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = (1.0, 4.0, 25.0)
"""Pauses between looks at all domains when an end may not be told: after a connection was made, and
while a guest shuts down. A libvirtd that has just begun lists guests as running until it has found
their QEMU again; of one that has ended it then says so when it is asked, but tells nobody. And a
link through virsh may miss what happens right after it was made."""
SOCKETS: Mapping[str, str] = {"qemu:///system": "/run/libvirt/libvirt-sock"}
"""By URI: what appears when its libvirtd comes up."""


@dataclass(eq=False, slots=True)
class _Libvirt:
    """One of them."""

    uri: str
    link: DomainLink
    connected: anyio.Event = field(default_factory=anyio.Event)
    why: str = "not connected yet"
    """While it is not connected."""
    changed: anyio.Event = field(default_factory=anyio.Event)
    """Set when it is connected, or there is another reason why not; then a new one takes its place."""
    changes: int = 0
    """How often a connection was made or lost."""
    domains: frozenset[str] = frozenset()
    """Those of the last look at all."""
    looking: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Of the looks that are to come."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def leave(self) -> None:
        """End all that is done for it."""
        self.scope.cancel()
        self.looking.cancel()

    def tell(self, why: str = "") -> None:
        """Wake who waits for the connection: there is one, or `why` not."""
        self.why = why or self.why
        self.changed.set()
        self.changed = anyio.Event()


class Libvirts:
    """Makes links, and passes on what they tell. All on the event loop's thread."""

    def __init__(
        self,
        make_link: Callable[[str], DomainLink],
        *,
        clock: Clock,
        tasks: TaskGroup,
        sockets: Mapping[str, str] = SOCKETS,
    ) -> None:
        self._make_link = make_link
        self._clock = clock
        self._tasks = tasks
        self._sockets = sockets
        self._libvirts: dict[str, _Libvirt] = {}
        self.on_news: Callable[[str, DomainNews], None] = _nothing
        """Told, with the URI, what happens to a domain."""
        self.on_list: Callable[[str, Mapping[str, DomainNews]], None] = _nothing
        """Told how all domains are, after each connection and each `attend`."""
        self.on_lost: Callable[[str, str], None] = _nothing
        """Told of each connection that is lost, and why."""

    def attend(self, uris: Collection[str]) -> None:
        """Have links to these, and to no others; how their domains are is told again.

        Who attends to more of them than before has not seen what already runs.
        """
        for uri in self._libvirts.keys() - set(uris):
            libvirt = self._libvirts.pop(uri)
            libvirt.leave()
            self._tasks.start_soon(libvirt.link.close)
        for libvirt in self._libvirts.values():
            if libvirt.connected.is_set():
                self._tasks.start_soon(self._list, libvirt, libvirt.changes)
            else:
                libvirt.link.nudge()  # it may be elsewhere now
        for uri in sorted(set(uris)):
            self._get(uri)

    def link(self, uri: str) -> DomainLink:
        """Return the link to one; calls of it fail while there is no connection."""
        return self._get(uri).link

    async def connected(self, uri: str, note: Callable[[str], None]) -> None:
        """Return once there is a connection; `note` is told why there is none, also when that changes."""
        libvirt, noted = self._get(uri), ""
        if not libvirt.connected.is_set():
            libvirt.link.nudge()
        while not libvirt.connected.is_set():
            if libvirt.why != noted:
                noted = libvirt.why
                note(f"libvirt cannot be reached: {noted}")
            await libvirt.changed.wait()

    async def close(self) -> None:
        """Let go of all."""
        while self._libvirts:
            _, libvirt = self._libvirts.popitem()
            libvirt.leave()
            await libvirt.link.close()

    def _get(self, uri: str) -> _Libvirt:
        found = self._libvirts.get(uri)
        if found is None:
            link = self._make_link(uri)
            found = self._libvirts[uri] = _Libvirt(uri, link)
            libvirt = found
            link.on_news = lambda news: self._heard(libvirt, news)
            link.on_link = lambda is_up, why: self._changed(libvirt, why, is_up=is_up)
            link.open()
            if uri in self._sockets:
                self._tasks.start_soon(self._nudge, libvirt, self._sockets[uri])
        return found

    def _changed(self, libvirt: _Libvirt, why: str, *, is_up: bool) -> None:
        libvirt.changes += 1
        libvirt.looking.cancel()
        if is_up:
            libvirt.why = "it has not said yet which domains it has"
            self._tasks.start_soon(self._list, libvirt, libvirt.changes)
        elif libvirt.connected.is_set():
            log.warning("lost libvirt; its guests run on", uri=libvirt.uri, reason=why)
            libvirt.connected = anyio.Event()
            libvirt.tell(why)
            self.on_lost(libvirt.uri, why)
        else:
            libvirt.tell(why)

    async def _list(self, libvirt: _Libvirt, change: int) -> None:
        """Tell how all domains are, before anybody goes on who waits for the connection.

        A list that failed is asked for again, as long as the connection stays what it is.
        """
        while self._libvirts.get(libvirt.uri) is libvirt and libvirt.changes == change:
            try:
                found = await libvirt.link.domains()
            except DomainError as error:
                if error.kind != "unreachable":
                    libvirt.tell(str(error))
                await self._clock.sleep(_LIST_AGAIN_SECONDS)
                continue
            if self._libvirts.get(libvirt.uri) is libvirt:
                libvirt.domains = frozenset(found)
                self.on_list(libvirt.uri, found)
                libvirt.connected.set()
                libvirt.tell()
                self._look_closely(libvirt)
            return

    def _heard(self, libvirt: _Libvirt, news: DomainNews) -> None:
        if news.state is DomainState.SHUTTING_DOWN:
            self._look_closely(libvirt)
        self.on_news(libvirt.uri, news)

    def _look_closely(self, libvirt: _Libvirt) -> None:
        libvirt.looking.cancel()
        libvirt.looking = anyio.CancelScope()
        self._tasks.start_soon(self._look_again, libvirt, libvirt.looking)

    async def _look_again(self, libvirt: _Libvirt, scope: anyio.CancelScope) -> None:
        with scope:
            for pause in _LOOK_AGAIN_SECONDS:
                await self._clock.sleep(pause)
                try:
                    found = await libvirt.link.domains()
                except DomainError:
                    return  # the next connection begins with a list
                for domain in sorted(libvirt.domains - found.keys()):
                    self.on_news(libvirt.uri, DomainNews(domain, DomainState.GONE, "unknown"))
                libvirt.domains = frozenset(found)
                for news in found.values():
                    self.on_news(libvirt.uri, news)

    async def _nudge(self, libvirt: _Libvirt, path: str) -> None:
        """Have the link try at once when the socket of its libvirtd comes up."""
        with libvirt.scope:
            async with FileChanges(path) as changes:
                while True:
                    changes.rearm()
                    await changes.wait()
                    libvirt.link.nudge()


def _nothing(*_told: object) -> None:
    return
