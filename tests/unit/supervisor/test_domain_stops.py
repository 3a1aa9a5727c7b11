"""A domain is asked to end again and again, however often libvirt goes away meanwhile."""

from collections.abc import Callable

import anyio
import pytest
from tests.support.hand_libvirt import HandLibvirt, NapClock, off, running

from virtsupd.core.domain import DomainSpec, GuestStop
from virtsupd.process.domains import DomainState
from virtsupd.supervisor.domain_stops import DomainStop
from virtsupd.supervisor.libvirts import Libvirts

DEADLINE_SECONDS = 10.0


async def stop(
    libvirt: HandLibvirt,
    how: GuestStop,
    meanwhile: Callable[[HandLibvirt, NapClock], None] = lambda _libvirt, _clock: None,
) -> list[str]:
    """Stop "web1" and return what was noted; `meanwhile` is called at each turn until it has ended."""
    notes: list[str] = []
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
    return notes


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
