"""A domain is asked to end again and again, however often libvirt goes away meanwhile."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import anyio
import pytest
from tests.support.hand_libvirt import HandLibvirt, NapClock, off, running

from virtsupd.core.domain import DomainSpec, GuestStop
from virtsupd.process.domains import DomainError, DomainNews, DomainState
from virtsupd.supervisor.domain_stops import DomainStop
from virtsupd.supervisor.libvirts import Libvirts

DEADLINE_SECONDS = 10.0


def paused(reason: str) -> DomainNews:
    return replace(running("web1"), state=DomainState.PAUSED, reason=reason)


async def stop(
    libvirt: HandLibvirt,
    how: GuestStop,
    meanwhile: Callable[[HandLibvirt, NapClock], None] = lambda _libvirt, _clock: None,
) -> list[str]:
    """Stop "web1" and return what was noted; `meanwhile` is called at each turn until it has ended."""
    return (await stop_and_tell(libvirt, how, meanwhile))[0]


async def stop_and_tell(
    libvirt: HandLibvirt,
    how: GuestStop,
    meanwhile: Callable[[HandLibvirt, NapClock], None] = lambda _libvirt, _clock: None,
    told: list[bool] | None = None,
) -> tuple[list[str], list[bool]]:
    """Do as `stop`, and return also what was told of whether libvirt can be asked."""
    notes: list[str] = []
    reached = told if told is not None else []
    clock, begun = NapClock(), anyio.Event()
    begun.set()
    with anyio.fail_after(DEADLINE_SECONDS):
        async with anyio.create_task_group() as tasks:
            libvirts = Libvirts(lambda _uri: libvirt, clock=clock, tasks=tasks, sockets={})
            ending = DomainStop(
                domain=DomainSpec("web1"),
                how=how,
                libvirts=libvirts,
                begun=begun,
                clock=clock,
                note=notes.append,
                reached=reached.append,
            )
            ended = anyio.Event()

            async def run() -> None:
                await ending.run()
                ended.set()

            tasks.start_soon(run)
            while not ended.is_set():
                meanwhile(libvirt, clock)
                await anyio.lowlevel.checkpoint()
            await libvirts.close()
    return notes, reached


@pytest.mark.parametrize("how", set(GuestStop) - {GuestStop.LEAVE, GuestStop.AGENT})
async def test_a_domain_that_runs_has_ended_afterwards(how: GuestStop) -> None:
    libvirt = HandLibvirt({"web1": running("web1")})
    await stop(libvirt, how)
    assert libvirt.found["web1"].state is DomainState.OFF


@pytest.mark.parametrize("how", set(GuestStop) - {GuestStop.LEAVE})
async def test_a_domain_that_is_off_or_not_there_has_ended(how: GuestStop) -> None:
    await stop(HandLibvirt({"web1": off("web1")}), how)
    await stop(HandLibvirt(), how)


async def test_an_agent_that_never_answers_is_said() -> None:
    def give_it_an_agent(libvirt: HandLibvirt, clock: NapClock) -> None:
        if len(clock.slept) > 1:
            libvirt.agents.add("web1")

    notes = await stop(
        HandLibvirt({"web1": running("web1")}), GuestStop.AGENT, meanwhile=give_it_an_agent
    )
    assert "the agent of web1 is not connected" in notes


async def test_libvirt_may_go_away_in_the_middle() -> None:
    def come_and_go(libvirt: HandLibvirt, clock: NapClock) -> None:
        if len(libvirt.asked) == 3:
            libvirt.lose("it was stopped")
        elif not libvirt.is_up:
            libvirt.return_()
        if len(clock.slept) > 2:
            libvirt.deaf.clear()

    libvirt = HandLibvirt({"web1": running("web1")}, deaf={"web1"})
    notes = await stop(libvirt, GuestStop.ACPI, meanwhile=come_and_go)
    assert all("cannot be reached" in note for note in notes)
    assert libvirt.found["web1"].state is DomainState.OFF


class Fickle(HandLibvirt):
    """Goes away with the first request about a domain, which it does not take."""

    async def _call(self, what: str, domain: str) -> None:
        if domain and self.is_up and not any("web1" in call for call in self.asked):
            self.asked.append(f"{what} {domain}")
            self.lose("it crashed")
            raise DomainError("unreachable", "it crashed")
        await super()._call(what, domain)


@pytest.mark.parametrize("how", [GuestStop.ACPI, GuestStop.DESTROY])
async def test_libvirt_is_not_reached_while_it_has_taken_nothing(how: GuestStop) -> None:
    def come(libvirt: HandLibvirt, clock: NapClock) -> None:
        if clock.slept and not libvirt.is_up:
            libvirt.return_()

    libvirt = Fickle({"web1": running("web1")})
    notes, reached = await stop_and_tell(libvirt, how, come)
    assert reached == [True, False, True]
    assert notes[-1].startswith("libvirt cannot be reached")


async def test_libvirt_that_hangs_is_not_reached() -> None:
    """It has not been noticed yet."""

    def hang(libvirt: HandLibvirt, _clock: NapClock) -> None:
        if len(turns) < 100:
            turns.append(len(libvirt.asked))
        else:
            answers.set()

    class Hung(HandLibvirt):
        async def domains(self) -> Mapping[str, DomainNews]:
            if self.asked:
                await answers.wait()
                seen.append(list(reached))
            return await super().domains()

    turns: list[int] = []
    seen: list[list[bool]] = []
    answers, reached = anyio.Event(), list[bool]()
    libvirt = Hung({"web1": running("web1")})
    await stop_and_tell(libvirt, GuestStop.ACPI, hang, reached)
    assert (seen[0], reached) == ([], [True])


async def test_libvirt_that_goes_away_afterwards_was_reached() -> None:
    def come_and_go(libvirt: HandLibvirt, clock: NapClock) -> None:
        if clock.slept and libvirt.deaf and libvirt.is_up:
            libvirt.lose("it was stopped")
            libvirt.deaf.clear()
        elif not libvirt.is_up:
            libvirt.return_()

    libvirt = HandLibvirt({"web1": running("web1")}, deaf={"web1"})
    _, reached = await stop_and_tell(libvirt, GuestStop.ACPI, come_and_go)
    assert reached == [True]


@pytest.mark.parametrize("how", [GuestStop.ACPI, GuestStop.SAVE, GuestStop.SHUTDOWN])
async def test_a_paused_guest_that_cannot_be_saved_is_resumed_and_asked(how: GuestStop) -> None:
    refusal = DomainError("refused", "it is transient")
    libvirt = HandLibvirt({"web1": paused("user")}, refusal=refusal)
    notes = await stop(libvirt, how)
    assert notes[-1] == "it is transient" if how is GuestStop.ACPI else "it is transient" in notes
    assert libvirt.found["web1"].reason == "shutdown"
    calls = [call for call in libvirt.asked if "web1" in call]
    assert calls[:2] == ["save web1", "resume web1"]
    assert calls.count("save web1") == 1


async def test_a_guest_that_may_run_elsewhere_is_not_resumed() -> None:
    def give_in(libvirt: HandLibvirt, _clock: NapClock) -> None:
        if libvirt.asked.count("save web1") > 2:
            libvirt.refusal = None

    refusal = DomainError("refused", "it is migrating")
    libvirt = HandLibvirt({"web1": paused("post-copy failed")}, refusal=refusal)
    await stop(libvirt, GuestStop.ACPI, give_in)
    assert set(libvirt.asked) <= {"domains", "save web1", "nudge", "close"}
