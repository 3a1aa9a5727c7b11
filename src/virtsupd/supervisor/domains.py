"""Guests that libvirt runs: started, watched and ended through one link per libvirt.

Theory of operation. A *guest* here is one start (or adoption) of a service whose definition names a
domain. What libvirt tells of the domain (`DomainNews`) is believed, whoever caused it, and becomes
the events that a process would have caused: Spawned, BecameReady, Exited, Gone. While libvirt cannot
be reached nothing is concluded: guests run on, starts and ends wait, and the list of domains that
comes with the next connection says what happened meanwhile.

A start that finds its domain running takes it as it is, so nothing is ever doubled. A domain that
runs while its service is stopped was started by somebody else: `Appearances`. One that is only being
migrated here runs on another host as yet, and may do so for good: it is neither started nor taken
up before it runs here, and its end here is no reason to start it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import anyio
import structlog
from anyio.abc import TaskGroup

from virtsupd.core.domain import DomainSpec, GuestStop
from virtsupd.core.effects import (
    AdoptDomain,
    AwaitReady,
    EndDomain,
    EndWatches,
    StartDomain,
    WatchHealth,
)
from virtsupd.core.events import (
    Adopted,
    Appeared,
    Defined,
    Exited,
    Gone,
    NeverMade,
    Spawned,
    SpawnFailed,
)
from virtsupd.core.names import Name
from virtsupd.process.clock import Clock
from virtsupd.process.domains import DomainError, DomainNews, DomainState
from virtsupd.process.probe_context import ProbeContext
from virtsupd.supervisor.domain_appearances import Appearances
from virtsupd.supervisor.domain_ends import (
    end_of,
    has_ended,
    is_here,
    is_in_transit,
    note_of,
    was_migrated,
)
from virtsupd.supervisor.domain_guest import Guest
from virtsupd.supervisor.domain_starts import NOT_ARRIVED, DomainStart
from virtsupd.supervisor.domain_stops import DomainStop
from virtsupd.supervisor.domain_work import Post
from virtsupd.supervisor.libvirts import Libvirts
from virtsupd.supervisor.probes import watch_health, watch_readiness

log = structlog.get_logger()


class Domains:
    """Carries out what is to be done with guests of libvirt (`DomainWork`)."""

    def __init__(
        self,
        libvirts: Libvirts,
        *,
        declared: Callable[[], Mapping[DomainSpec, Name]],
        post: Callable[[Appeared | Defined], None],
        clock: Clock,
        tasks: TaskGroup,
    ) -> None:
        """Take what returns the domains that services stand for, by the definitions in force."""
        self._libvirts = libvirts
        self._declared = declared
        self._clock = clock
        self._tasks = tasks
        self._guests: dict[Name, Guest] = {}
        self._appearances = Appearances(
            libvirts, declared=declared, is_guest=self.has, post=post, tasks=tasks
        )
        libvirts.on_news = self._heard
        libvirts.on_list = self._compare
        libvirts.on_lost = self._lost

    def attend(self) -> None:
        """Listen to what becomes of all domains that services stand for, whether these run or not."""
        self._libvirts.attend({domain.uri for domain in self._declared()})

    def seen(self) -> frozenset[DomainSpec]:
        """Return the domains of the guests that run, or were asked to, as far as is known."""
        guests = self._guests.values()
        return frozenset(g.domain for g in guests if g.is_up or g.is_asked)

    async def leave(self) -> None:
        """Listen no more; guests run on."""
        for guest in tuple(self._guests.values()):
            self._drop(guest)
        await self._libvirts.close()

    # What the interpreter asks for

    def start(self, effect: StartDomain, post: Post) -> None:
        """Have a guest run: Spawned or SpawnFailed, BecameReady once it is, Exited once it has ended."""
        guest = self._begin(effect, post)
        guest.ready = effect.ready
        self._tasks.start_soon(self._start, guest)

    def adopt(self, effect: AdoptDomain, post: Post) -> None:
        """Look whether a guest still runs: Adopted; or Exited, or NeverMade, if it does not."""
        guest = self._begin(effect, post)
        guest.said = None
        self._tasks.start_soon(self._adopt, guest, effect)

    def end(self, effect: EndDomain, post: Post) -> None:
        """End a guest, in a harder way than before if it is asked again: Exited if it ran, and Gone."""
        guest = self._guests.get(effect.name)
        if guest is None or guest.generation != effect.generation:
            post(Gone(effect.name, effect.generation))
            return
        guest.is_ending = True
        if not guest.is_asked:
            guest.waiting.cancel()
        guest.ending.cancel()
        if guest.has_ended or guest.is_arriving:
            self._gone(guest)  # what only arrives may run elsewhere for good: it is not ours to end
        elif effect.how is GuestStop.LEAVE:
            self._appearances.leave(guest.domain)
            self._drop(guest)
            guest.post(Gone(guest.name, guest.generation))
        else:
            guest.ending = anyio.CancelScope()
            self._tasks.start_soon(self._end, guest, effect.how)

    def has(self, name: Name) -> bool:
        """Whether a service is a guest that was started or adopted, and is not gone."""
        return name in self._guests

    def watch(self, effect: AwaitReady | WatchHealth | EndWatches, post: Post) -> None:
        """Do of a guest that there is what the machine does of processes."""
        guest = self._guests[effect.name]
        match effect:
            case AwaitReady():
                guest.ready = effect.ready
                if guest.is_up:
                    self._watch_ready(guest)
            case WatchHealth():
                context = self._context(guest)
                self._tasks.start_soon(watch_health, effect, context, post, guest.watches)
            case EndWatches():
                guest.watches.cancel()
                guest.watches = anyio.CancelScope()

    def forget(self, name: Name) -> None:
        """Have nothing more to do with a guest, if the service is one; it is left as it is."""
        guest = self._guests.get(name)
        if guest is not None:
            self._drop(guest)

    # Beginning

    def _begin(self, effect: StartDomain | AdoptDomain, post: Post) -> Guest:
        before = self._guests.get(effect.name)
        if before is not None:
            self._drop(before)
        guest = Guest(effect.name, effect.generation, effect.domain, post)
        self._guests[effect.name] = guest
        return guest

    async def _start(self, guest: Guest) -> None:
        try:
            await DomainStart(
                guest=guest,
                is_current=lambda: self._is_current(guest),
                libvirts=self._libvirts,
                clock=self._clock,
            ).run()
            news = await self._look(guest)
        except DomainError as error:
            self._start_failed(guest, error)
            return
        finally:
            guest.begun.set()
        if not self._is_current(guest):
            return
        self._appearances.found_up(guest.domain)
        guest.is_up = True
        guest.post(Spawned(guest.name, guest.generation, news.pid if news is not None else None))
        if guest.ready.probe is not None and not guest.is_ending:
            self._watch_ready(guest)
        self._take(guest, news)

    def _start_failed(self, guest: Guest, error: DomainError) -> None:
        if not self._is_current(guest):
            return
        del self._guests[guest.name]
        if guest.is_ending:
            guest.ending.cancel()
            guest.post(Gone(guest.name, guest.generation))
            return
        if guest.is_in_transit:
            guest.tell_never_arrived(NOT_ARRIVED)
            return
        text = str(error)
        is_permanent = error.kind == "no-such-domain"
        if is_permanent:
            self._appearances.found_undefined(guest.domain)
            text += "; it starts as soon as it is defined (virsh define)"
        name, generation = guest.name, guest.generation
        guest.post(SpawnFailed(name, generation, "libvirt", text, is_permanent=is_permanent))

    async def _look(self, guest: Guest) -> DomainNews | None:
        """Return how its domain is; None while that cannot be known, which the next list tells."""
        try:
            found = await self._libvirts.link(guest.domain.uri).domains()
        except DomainError:
            return None
        domain = guest.domain.domain
        return found.get(domain) or DomainNews(domain, DomainState.GONE, "unknown")

    async def _adopt(self, guest: Guest, effect: AdoptDomain) -> None:
        news = None
        try:
            while news is None and self._is_current(guest):
                await self._libvirts.connected(guest.domain.uri, guest.tell_unseen)
                news = await self._look(guest)
        finally:
            guest.begun.set()
        if not self._is_current(guest) or news is None:
            return
        name, generation = guest.name, guest.generation
        if not effect.was_running and not is_here(news):
            del self._guests[name]
            guest.ending.cancel()
            if effect.was_arriving and has_ended(news.state):
                guest.tell_never_arrived(NOT_ARRIVED)
            else:
                guest.post(NeverMade(name, generation))
            return
        guest.is_up = True
        if not has_ended(news.state):
            guest.post(Adopted(name, generation, news.pid))
        self._take(guest, news)

    # What libvirt tells

    def _heard(self, uri: str, news: DomainNews) -> None:
        """Take news that may be older than what was asked since: what would change much is verified."""
        domain = DomainSpec(news.domain, uri)
        self._appearances.hear(domain, news)
        guest = next((g for g in self._guests.values() if g.domain == domain), None)
        is_end = guest is not None and (has_ended(news.state) or guest.is_another(news))
        if guest is not None and guest.is_up and is_end:
            self._tasks.start_soon(self._verify_end, guest, news)
        elif guest is not None:
            self._take(guest, news)

    async def _verify_end(self, guest: Guest, news: DomainNews) -> None:
        found = await self._look(guest)
        is_forgotten = found is not None and found.state is DomainState.GONE
        self._take(guest, news if is_forgotten else found)

    def _compare(self, uri: str, found: Mapping[str, DomainNews]) -> None:
        """Take a full list of the domains: what is not in it is gone."""
        for guest in tuple(self._guests.values()):
            if guest.domain.uri == uri:
                domain = guest.domain.domain
                lost = DomainNews(domain, DomainState.GONE, "unknown")
                self._take(guest, found.get(domain, lost))
        self._appearances.compare(uri, found)

    def _lost(self, uri: str, why: str) -> None:
        for guest in self._guests.values():
            if guest.domain.uri == uri and guest.is_up:
                guest.tell_unseen(f"libvirt was lost: {why}")

    def _take(self, guest: Guest, news: DomainNews | None) -> None:
        """Take what is told of a guest that is up; before, and after its end, nothing counts."""
        guest.note_word()
        if news is None or not guest.is_up or guest.has_ended:
            return
        if not has_ended(news.state) and not guest.is_another(news):
            guest.pid = news.pid or guest.pid
            self._appearances.found_up(guest.domain)
            guest.is_in_transit = is_in_transit(news)
            guest.tell_note(note_of(news))
            return
        guest.has_ended = True
        guest.watches.cancel()
        guest.ending.cancel()
        log.info("guest has ended", service=guest.name, how=news.reason)
        status, is_elsewhere = end_of(news), was_migrated(news)
        if guest.is_in_transit and not is_elsewhere:
            status = replace(status, words=f"{status} during a migration")
            is_elsewhere = True
        guest.post(Exited(guest.name, guest.generation, status, is_elsewhere))
        if guest.is_ending:
            self._gone(guest)

    # Ending

    async def _end(self, guest: Guest, how: GuestStop) -> None:
        with guest.ending:
            stop = DomainStop(
                domain=guest.domain,
                how=how,
                libvirts=self._libvirts,
                begun=guest.begun,
                clock=self._clock,
                note=guest.tell_denied,
                reached=guest.tell_reached,
            )
            await stop.run()
            self._take(guest, await self._look(guest))
            if self._is_current(guest):
                self._gone(guest)

    def _gone(self, guest: Guest) -> None:
        """Let it be gone, and see whether somebody has started its domain again meanwhile."""
        self._drop(guest)
        guest.post(Gone(guest.name, guest.generation))
        self._appearances.found_ended(guest.domain)

    def _drop(self, guest: Guest) -> None:
        for scope in (guest.waiting, guest.watches, guest.ending):
            scope.cancel()
        if self._guests.get(guest.name) is guest:
            del self._guests[guest.name]

    def _is_current(self, guest: Guest) -> bool:
        return self._guests.get(guest.name) is guest

    # Watching, and telling

    def _watch_ready(self, guest: Guest) -> None:
        effect = AwaitReady(guest.name, guest.generation, guest.ready)
        context = self._context(guest)
        self._tasks.start_soon(watch_readiness, effect, context, guest.post, guest.watches)

    def _context(self, guest: Guest) -> ProbeContext:
        async def ask_agent(seconds: float) -> None:
            link = self._libvirts.link(guest.domain.uri)
            await link.ping_agent(guest.domain.domain, seconds)

        return ProbeContext(
            name=guest.name,
            clock=self._clock,
            agent=ask_agent,
            is_judged=lambda: guest.is_judged,
            note=guest.tell_waiting,
        )
