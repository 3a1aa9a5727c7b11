"""Guests of libvirt: what is told of domains becomes what is posted of services, whoever caused it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
import pytest
from tests.support.hand_libvirt import HandLibvirt, NapClock, off, running

from virtsupd.core.domain import DomainSpec, GuestNote, GuestStop
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
    BecameReady,
    Defined,
    Event,
    Exited,
    Gone,
    HealthChanged,
    NeverMade,
    Reached,
    Spawned,
    SpawnFailed,
    Told,
)
from virtsupd.core.exits import ExitStatus
from virtsupd.core.names import Name
from virtsupd.core.spec import AgentProbe, Health, Readiness
from virtsupd.process.domains import DomainError, DomainNews, DomainState
from virtsupd.supervisor.domains import Domains
from virtsupd.supervisor.libvirts import Libvirts

WEB = Name("web")
DOMAIN = DomainSpec("web1")
PAIRS = {DOMAIN: WEB}
OWN_SHUTDOWN = ExitStatus(code=0, words="the guest powered off")
DEADLINE_SECONDS = 10.0


@dataclass
class Host:
    """Domains over a hand-driven libvirt, and what they posted."""

    libvirt: HandLibvirt
    domains: Domains
    clock: NapClock
    declared: dict[DomainSpec, Name]
    posted: list[Event] = field(default_factory=list)

    def start(self, ready: Readiness | None = None) -> None:
        self.domains.start(StartDomain(WEB, 1, DOMAIN, ready or Readiness()), self.posted.append)

    def adopt(self, *, was_running: bool) -> None:
        effect = AdoptDomain(WEB, 1, DOMAIN, was_running=was_running)
        self.domains.adopt(effect, self.posted.append)

    def end(self, how: GuestStop = GuestStop.SHUTDOWN) -> None:
        self.domains.end(EndDomain(WEB, 1, DOMAIN, how), self.posted.append)

    @property
    def news(self) -> list[Event]:
        """All that was posted but words for status and why, and what there is of libvirt and domains."""
        return [event for event in self.posted if not isinstance(event, Told | Defined | Reached)]

    async def until(self, is_so: Callable[[], bool]) -> None:
        with anyio.fail_after(DEADLINE_SECONDS):
            while not is_so():
                await anyio.lowlevel.checkpoint()

    async def until_posted(self, *events: Event) -> None:
        await self.until(lambda: all(event in self.posted for event in events))

    async def settle(self) -> None:
        """Let everybody have as many turns as any exchange here takes."""
        for _ in range(50):
            await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def hosting(
    libvirt: HandLibvirt, declared: Mapping[DomainSpec, Name] = PAIRS
) -> AsyncIterator[Host]:
    async with anyio.create_task_group() as tasks:
        clock, posted, known = NapClock(), list[Event](), dict(declared)
        libvirts = Libvirts(lambda _uri: libvirt, clock=clock, tasks=tasks, sockets={})
        domains = Domains(
            libvirts, declared=lambda: known, post=posted.append, clock=clock, tasks=tasks
        )
        yield Host(libvirt, domains, clock, known, posted)
        await domains.leave()
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def running_guest() -> AsyncIterator[Host]:
    async with hosting(HandLibvirt({"web1": off("web1")})) as host:
        host.start()
        await host.until_posted(Spawned(WEB, 1, 4711))
        host.posted.clear()
        host.libvirt.asked.clear()
        yield host


# Starting


async def test_a_start_starts_the_domain() -> None:
    async with hosting(HandLibvirt({"web1": off("web1")})) as host:
        host.start()
        await host.until_posted(Spawned(WEB, 1, 4711))
        asked = host.libvirt.asked
        assert asked.count("start web1") == 1
        assert "domains" in asked[asked.index("start web1") :]
        assert host.domains.has(WEB)


async def test_a_domain_that_is_not_defined_fails_the_start_for_good() -> None:
    async with hosting(HandLibvirt()) as host:
        host.start()
        text = "there is no domain web1; it starts as soon as it is defined (virsh define)"
        await host.until_posted(SpawnFailed(WEB, 1, "libvirt", text, is_permanent=True))
        assert not host.domains.has(WEB)


async def test_a_domain_that_is_defined_after_all_is_told_once() -> None:
    async with hosting(HandLibvirt()) as host:
        for _ in range(2):
            host.start()
            await host.until(lambda: not host.domains.has(WEB))
            assert Defined(WEB) not in host.posted
            for _ in range(2):
                host.libvirt.put("web1", DomainState.OFF, "unknown")
            assert host.posted.count(Defined(WEB)) == 1
            host.libvirt.put("web1", DomainState.GONE, "unknown")
            host.libvirt.found.clear()
            host.posted.clear()


async def test_a_domain_that_was_defined_while_libvirt_was_away_is_told_when_it_returns() -> None:
    async with hosting(HandLibvirt()) as host:
        host.start()
        await host.until(lambda: not host.domains.has(WEB))
        host.libvirt.lose("it crashed")
        host.libvirt.put("web1", DomainState.OFF, "unknown")
        assert Defined(WEB) not in host.posted
        host.libvirt.return_()
        await host.until_posted(Defined(WEB))


async def test_what_libvirt_refuses_is_tried_again_by_the_respawn_policy() -> None:
    refusal = DomainError("failed", "no disk")
    async with hosting(HandLibvirt({"web1": off("web1")}, refusal=refusal)) as host:
        host.start()
        await host.until_posted(SpawnFailed(WEB, 1, "libvirt", "no disk", is_permanent=False))


async def test_a_start_waits_for_libvirt_and_says_so() -> None:
    async with hosting(HandLibvirt({"web1": off("web1")}, is_up=False)) as host:
        host.start()
        await host.settle()
        text = "libvirt cannot be reached: not connected yet"
        assert host.posted == [Told(WEB, 1, "waiting", text)]
        assert "start web1" not in host.libvirt.asked
        host.libvirt.return_()
        await host.until_posted(Spawned(WEB, 1, 4711))


async def test_a_guest_is_ready_when_its_agent_answers() -> None:
    async with hosting(HandLibvirt({"web1": off("web1")})) as host:
        host.start(Readiness(AgentProbe()))
        await host.until(lambda: len(host.clock.slept) > 2)
        assert host.news == [Spawned(WEB, 1, 4711)]
        host.libvirt.agents.add("web1")
        await host.until_posted(BecameReady(WEB, 1))


@pytest.mark.parametrize("is_up", [False, True])
async def test_a_guest_is_ready_as_is_said_while_it_starts(*, is_up: bool) -> None:
    async with hosting(HandLibvirt({"web1": off("web1")}, is_up=is_up)) as host:
        host.start(Readiness(AgentProbe()))
        await host.settle()
        assert (Spawned(WEB, 1, 4711) in host.posted) == is_up
        host.domains.watch(EndWatches(WEB, 1), host.posted.append)
        host.domains.watch(AwaitReady(WEB, 1, Readiness()), host.posted.append)
        if is_up:
            await host.until_posted(BecameReady(WEB, 1))
            return
        host.libvirt.agents.add("web1")
        host.libvirt.return_()
        await host.until_posted(Spawned(WEB, 1, 4711))
        assert "ping web1" not in host.libvirt.asked


async def test_a_guest_that_ended_right_after_its_start_has_ended() -> None:
    async with hosting(HandLibvirt({"web1": off("web1")}, doomed={"web1"})) as host:
        host.start()
        await host.until(lambda: len(host.news) == 2)
        crashed = Exited(WEB, 1, ExitStatus(code=1, words="crashed"))
        assert host.news == [Spawned(WEB, 1, None), crashed]


# What libvirt tells


@pytest.mark.parametrize(
    ("state", "reason", "status"),
    [
        (DomainState.OFF, "shutdown", OWN_SHUTDOWN),
        (DomainState.OFF, "destroyed", ExitStatus(code=0, words="was destroyed")),
        (DomainState.OFF, "saved", ExitStatus(code=0, words="was saved")),
        (DomainState.OFF, "migrated", ExitStatus(code=0, words="was migrated to another host")),
        (DomainState.OFF, "crashed", ExitStatus(code=1, words="crashed")),
        (DomainState.CRASHED, "panicked", ExitStatus(code=1, words="crashed")),
        (DomainState.OFF, "unknown", ExitStatus(code=1, words="ended in an unknown way")),
        (DomainState.GONE, "shutdown", OWN_SHUTDOWN),
    ],
)
async def test_the_end_of_a_guest_is_told_with_its_reason(
    state: DomainState, reason: str, status: ExitStatus
) -> None:
    async with running_guest() as host:
        host.libvirt.put("web1", state, reason)
        ended = Exited(WEB, 1, status, is_elsewhere=reason == "migrated")
        await host.until_posted(ended)
        assert host.news == [ended]
        host.end()
        await host.until_posted(Gone(WEB, 1))
        assert not [call for call in host.libvirt.asked if call.startswith("shutdown")]


async def test_old_news_of_an_end_is_not_believed() -> None:
    async with running_guest() as host:
        host.libvirt.on_news(off("web1"))
        await host.settle()
        assert host.news == []


async def test_a_guest_is_not_lost_with_libvirt() -> None:
    async with running_guest() as host:
        host.libvirt.lose("it was stopped")
        text = "not seen: libvirt was lost: it was stopped"
        await host.until_posted(Told(WEB, 1, "status", text, GuestNote.UNSEEN))
        host.libvirt.return_()
        await host.until_posted(Told(WEB, 1, "status", ""))
        assert host.news == []


async def test_what_ended_while_libvirt_was_away_is_seen_when_it_returns() -> None:
    async with running_guest() as host:
        host.libvirt.lose("it was stopped")
        host.libvirt.found["web1"] = off("web1")
        host.libvirt.return_()
        await host.until_posted(Exited(WEB, 1, OWN_SHUTDOWN))


@pytest.mark.parametrize("how", ["lost", "paused", "unreachable"])
async def test_a_guest_that_cannot_be_seen_to_run_is_not_ill(how: str) -> None:
    """Its agent is asked often enough to have it restarted, and does not answer."""
    async with running_guest() as host:
        if how == "paused":
            host.libvirt.put("web1", DomainState.PAUSED, "user")
        elif how == "lost":
            host.libvirt.lose("it was stopped")
        else:
            host.libvirt.is_up = False  # which nobody has noticed yet
        health = Health(AgentProbe(), 5.0, failures=3)
        host.domains.watch(WatchHealth(WEB, 1, health), host.posted.append)
        await host.until(lambda: len(host.clock.slept) > 10)
        assert host.news == []
        host.libvirt.return_()
        host.libvirt.put("web1", DomainState.RUNNING, "unpaused")
        why = "the agent of web1 is not connected"
        await host.until_posted(HealthChanged(WEB, 1, why))


async def test_a_guest_that_was_started_again_before_its_end_was_posted_appears() -> None:
    class Slow(HandLibvirt):
        """Somebody starts the domain right after it was listed as off."""

        async def domains(self) -> Mapping[str, DomainNews]:
            found = await super().domains()
            if found["web1"].reason == "destroyed":
                self.put("web1", DomainState.RUNNING, "booted")
            return found

    async with hosting(Slow({"web1": off("web1")})) as host:
        host.start()
        await host.until_posted(Spawned(WEB, 1, 4711))
        await host.settle()
        host.libvirt.put("web1", DomainState.OFF, "destroyed")
        await host.until_posted(Exited(WEB, 1, ExitStatus(code=0, words="was destroyed")))
        await host.settle()
        host.end()
        await host.until_posted(Gone(WEB, 1), Appeared(WEB, is_new=True))


@pytest.mark.parametrize("is_away", [True, False])
async def test_another_process_of_a_guest_is_another_start_by_somebody(*, is_away: bool) -> None:
    async with running_guest() as host:
        await host.settle()
        another = replace(running("web1"), pid=9999)
        if is_away:
            host.libvirt.lose("it was stopped")
        host.libvirt.found["web1"] = another
        if is_away:
            host.libvirt.return_()
        else:
            host.libvirt.on_news(another)
        unknown = Exited(WEB, 1, ExitStatus(code=1, words="ended in an unknown way"))
        await host.until_posted(unknown)
        host.end()
        await host.until_posted(Gone(WEB, 1))
        await host.until(lambda: any(isinstance(event, Appeared) for event in host.posted))
        host.start()
        await host.until_posted(Spawned(WEB, 1, 9999))
        assert "shutdown acpi web1" not in host.libvirt.asked


async def test_old_news_of_another_process_is_not_believed() -> None:
    async with running_guest() as host:
        await host.settle()
        host.libvirt.on_news(replace(running("web1"), pid=9999))
        await host.settle()
        assert host.news == []


async def test_a_paused_guest_is_shown_as_such() -> None:
    async with running_guest() as host:
        host.libvirt.put("web1", DomainState.PAUSED, "user")
        await host.until_posted(Told(WEB, 1, "status", "paused", GuestNote.PAUSED))


async def test_a_guest_that_somebody_started_appears_once_it_is_sure() -> None:
    async with hosting(HandLibvirt({"web1": off("web1")})) as host:
        host.domains.attend()
        await host.settle()
        host.libvirt.on_news(running("web1"))
        await host.settle()
        assert host.news == []
        host.libvirt.put("web1", DomainState.RUNNING, "booted")
        await host.until_posted(Appeared(WEB, is_new=True))


async def test_a_guest_that_ran_before_virtsupd_appears() -> None:
    async with hosting(HandLibvirt({"web1": running("web1"), "other": running("other")})) as host:
        host.domains.attend()
        await host.until_posted(Appeared(WEB))
        assert host.news == [Appeared(WEB)]


async def test_a_guest_that_runs_appears_when_a_reload_makes_a_service_of_it() -> None:
    db = {DomainSpec("db1"): Name("db")}
    async with hosting(HandLibvirt({"web1": running("web1")}), declared=db) as host:
        host.domains.attend()
        await host.settle()
        assert host.news == []
        host.declared |= PAIRS
        host.domains.attend()
        await host.until_posted(Appeared(WEB))


# Ending


async def test_an_agent_is_asked_before_the_power_button_is_pressed() -> None:
    async with running_guest() as host:
        host.end()
        await host.until_posted(Gone(WEB, 1))
        shutdowns = [call for call in host.libvirt.asked if call.startswith("shutdown")]
        assert shutdowns == ["shutdown agent web1", "shutdown acpi web1"]
        assert host.news == [Exited(WEB, 1, OWN_SHUTDOWN), Gone(WEB, 1)]


@pytest.mark.parametrize(
    ("how", "call"),
    [
        (GuestStop.ACPI, "shutdown acpi web1"),
        (GuestStop.SAVE, "save web1"),
        (GuestStop.DESTROY, "destroy web1"),
    ],
)
async def test_a_guest_ends_in_the_way_of_its_policy(how: GuestStop, call: str) -> None:
    async with running_guest() as host:
        host.end(how)
        await host.until_posted(Gone(WEB, 1))
        ends = [c for c in host.libvirt.asked if c.split()[0] in ("shutdown", "save", "destroy")]
        assert ends == [call]


async def test_a_guest_that_does_not_hear_is_asked_again_until_it_is_destroyed() -> None:
    async with running_guest() as host:
        host.libvirt.deaf.add("web1")
        host.end(GuestStop.ACPI)
        await host.until(lambda: host.libvirt.asked.count("shutdown acpi web1") == 3)
        assert host.news == []
        host.end(GuestStop.DESTROY)
        await host.until_posted(Gone(WEB, 1))
        assert "destroy web1" in host.libvirt.asked


async def test_a_guest_that_cannot_be_saved_is_asked_to_power_off() -> None:
    async with running_guest() as host:
        host.libvirt.refusal = DomainError("failed", "a device is passed through")
        host.end(GuestStop.SAVE)
        await host.until_posted(Gone(WEB, 1))
        assert Told(WEB, 1, "denied", "a device is passed through") in host.posted
        assert "destroy web1" not in host.libvirt.asked


async def test_a_guest_that_is_left_runs_on_and_is_not_taken_up_again() -> None:
    async with running_guest() as host:
        host.end(GuestStop.LEAVE)
        await host.until_posted(Gone(WEB, 1))
        host.libvirt.put("web1", DomainState.PAUSED, "user")
        host.libvirt.put("web1", DomainState.RUNNING, "unpaused")
        await host.settle()
        assert host.news == [Gone(WEB, 1)]
        host.libvirt.put("web1", DomainState.OFF, "shutdown")
        host.libvirt.put("web1", DomainState.RUNNING, "booted")
        await host.until_posted(Appeared(WEB, is_new=True))


async def test_a_guest_that_had_ended_when_it_was_left_appears_when_it_is_started() -> None:
    async with running_guest() as host:
        host.libvirt.put("web1", DomainState.OFF, "shutdown")
        await host.until_posted(Exited(WEB, 1, OWN_SHUTDOWN))
        host.end(GuestStop.LEAVE)
        await host.until_posted(Gone(WEB, 1))
        host.libvirt.put("web1", DomainState.RUNNING, "booted")
        await host.until_posted(Appeared(WEB, is_new=True))


async def test_a_guest_that_was_left_before_it_was_started_appears_when_it_is() -> None:
    async with hosting(HandLibvirt({"web1": off("web1")}, is_up=False)) as host:
        host.start()
        await host.settle()
        host.end(GuestStop.LEAVE)
        await host.until_posted(Gone(WEB, 1))
        host.libvirt.return_()
        await host.settle()
        host.libvirt.put("web1", DomainState.RUNNING, "booted")
        await host.until_posted(Appeared(WEB, is_new=True))


async def test_an_end_waits_for_libvirt() -> None:
    async with running_guest() as host:
        host.libvirt.lose("it was stopped")
        host.end()
        await host.settle()
        assert host.news == []
        assert Reached(WEB, 1, is_reached=True) not in host.posted
        host.libvirt.return_()
        await host.until_posted(Reached(WEB, 1, is_reached=True), Gone(WEB, 1))


async def test_a_start_that_waits_for_libvirt_is_taken_back_by_a_stop() -> None:
    async with hosting(HandLibvirt({"web1": off("web1")}, is_up=False)) as host:
        host.start()
        await host.settle()
        host.end()
        await host.until_posted(Gone(WEB, 1))
        host.libvirt.return_()
        await host.settle()
        assert "start web1" not in host.libvirt.asked


async def test_a_stop_during_a_start_ends_what_was_started() -> None:
    libvirt = HandLibvirt({"web1": off("web1")}, started=anyio.Event())
    async with hosting(libvirt) as host:
        host.start()
        await host.until(lambda: "start web1" in libvirt.asked)
        host.end()
        await host.settle()
        assert Gone(WEB, 1) not in host.posted
        assert libvirt.started is not None
        libvirt.started.set()
        await host.until_posted(Gone(WEB, 1))
        assert libvirt.found["web1"].state is DomainState.OFF
        assert host.news == [Spawned(WEB, 1, 4711), Exited(WEB, 1, OWN_SHUTDOWN), Gone(WEB, 1)]


@pytest.mark.parametrize("came", [True, False])
@pytest.mark.parametrize("how", [GuestStop.ACPI, GuestStop.DESTROY])
async def test_a_stop_of_a_start_whose_answer_was_lost_ends_what_came_of_it(
    how: GuestStop, *, came: bool
) -> None:
    class Lossy(HandLibvirt):
        async def start(self, domain: str) -> None:
            if came:
                await super().start(domain)
            self.lose("it died")
            raise DomainError("unreachable", "it died")

    libvirt = Lossy({"web1": off("web1")})
    async with hosting(libvirt) as host:
        host.start()
        await host.until(lambda: not libvirt.is_up)
        host.end(how)
        await host.settle()
        assert host.news == []
        assert host.domains.seen() == {DOMAIN}
        libvirt.return_()
        await host.until_posted(Gone(WEB, 1))
        await host.settle()
        assert libvirt.found["web1"].state is DomainState.OFF
        assert not [event for event in host.news if isinstance(event, Appeared)]


async def test_what_nobody_knows_is_gone() -> None:
    async with hosting(HandLibvirt({"web1": running("web1")})) as host:
        host.end()
        await host.until_posted(Gone(WEB, 1))
        assert host.libvirt.asked == []


# Taking over


async def test_a_guest_that_still_runs_is_adopted() -> None:
    async with hosting(HandLibvirt({"web1": running("web1")})) as host:
        host.adopt(was_running=True)
        await host.until_posted(Adopted(WEB, 1, 4711))
        assert set(host.libvirt.asked) <= {"nudge", "domains"}


async def test_a_guest_that_ended_meanwhile_has_ended() -> None:
    async with hosting(HandLibvirt({"web1": off("web1")})) as host:
        host.adopt(was_running=True)
        await host.until_posted(Exited(WEB, 1, OWN_SHUTDOWN))
        assert host.news == [Exited(WEB, 1, OWN_SHUTDOWN)]


async def test_a_start_of_which_nothing_came_begins_again() -> None:
    async with hosting(HandLibvirt({"web1": off("web1")})) as host:
        host.adopt(was_running=False)
        await host.until_posted(NeverMade(WEB, 1))
        assert not host.domains.has(WEB)


async def test_an_adoption_waits_for_libvirt() -> None:
    async with hosting(HandLibvirt({"web1": running("web1")}, is_up=False)) as host:
        host.adopt(was_running=True)
        await host.settle()
        assert host.news == []
        host.libvirt.return_()
        await host.until_posted(Adopted(WEB, 1, 4711))


async def test_an_adopted_guest_is_watched_and_let_go() -> None:
    async with hosting(HandLibvirt({"web1": running("web1")})) as host:
        host.adopt(was_running=False)
        await host.until_posted(Adopted(WEB, 1, 4711))
        effect = AwaitReady(WEB, 1, Readiness(AgentProbe()))
        host.domains.watch(effect, host.posted.append)
        await host.until(lambda: len(host.clock.slept) > 1)
        host.domains.watch(EndWatches(WEB, 1), host.posted.append)
        await host.settle()
        naps = len(host.clock.slept)
        await host.settle()
        assert len(host.clock.slept) == naps
        host.domains.forget(WEB)
        assert not host.domains.has(WEB)
        assert "destroy web1" not in host.libvirt.asked


async def test_a_guest_counts_as_seen_once_libvirt_was_asked_to_start_it() -> None:
    async with hosting(HandLibvirt({"web1": off("web1")}, is_up=False)) as host:
        host.start()
        await host.settle()
        assert host.domains.seen() == frozenset()
        host.libvirt.return_()
        await host.until_posted(Spawned(WEB, 1, 4711))
        assert host.domains.seen() == {DOMAIN}


async def test_a_paused_guest_is_saved_instead_of_asked() -> None:
    async with running_guest() as host:
        host.libvirt.put("web1", DomainState.PAUSED, "user", is_told=False)
        host.end(GuestStop.SHUTDOWN)
        await host.until_posted(Gone(WEB, 1))
        assert Exited(WEB, 1, ExitStatus(code=0, words="was saved")) in host.posted
        assert not [call for call in host.libvirt.asked if call.startswith("shutdown")]
