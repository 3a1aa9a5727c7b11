"""A domain is started once libvirt can be asked, and what came of a question that was lost is found out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest
from tests.support.hand_libvirt import HandLibvirt, NapClock, off, running

from virtsupd.core.domain import DomainSpec
from virtsupd.core.events import Event
from virtsupd.core.names import Name
from virtsupd.process.domains import DomainError, DomainState
from virtsupd.supervisor.domain_guest import Guest
from virtsupd.supervisor.domain_starts import DomainStart
from virtsupd.supervisor.libvirts import Libvirts

DEADLINE_SECONDS = 10.0


async def start(
    libvirt: HandLibvirt,
    *,
    meanwhile: Callable[[], None] = lambda: None,
    is_current: bool = True,
    **known: Any,
) -> str:
    """Start "web1", of whose guest this is known, and return why that failed; "" if it did not."""
    posted: list[Event] = []
    guest = Guest(Name("web"), 1, DomainSpec("web1"), posted.append)
    for name, value in known.items():
        setattr(guest, name, value)
    failures: list[str] = []
    with anyio.fail_after(DEADLINE_SECONDS):
        async with anyio.create_task_group() as tasks:
            clock = NapClock()
            libvirts = Libvirts(lambda _uri: libvirt, clock=clock, tasks=tasks, sockets={})
            starting = DomainStart(
                guest=guest, is_current=lambda: is_current, libvirts=libvirts, clock=clock
            )
            ended = anyio.Event()

            async def run() -> None:
                try:
                    await starting.run()
                except DomainError as error:
                    failures.append(str(error))
                ended.set()

            tasks.start_soon(run)
            while not ended.is_set():
                await anyio.lowlevel.checkpoint()
                meanwhile()
            await libvirts.close()
    return "".join(failures)


async def test_a_domain_runs_afterwards() -> None:
    libvirt = HandLibvirt({"web1": off("web1")})
    assert await start(libvirt) == ""
    assert libvirt.found["web1"].state is DomainState.RUNNING


async def test_libvirt_may_be_away_at_first() -> None:
    libvirt = HandLibvirt({"web1": off("web1")}, is_up=False)

    def come() -> None:
        if "nudge" in libvirt.asked and not libvirt.is_up:
            libvirt.return_()

    assert await start(libvirt, meanwhile=come) == ""
    assert libvirt.asked.count("start web1") == 1


async def test_a_refusal_is_said() -> None:
    refusal = DomainError("failed", "no disk")
    assert await start(HandLibvirt({"web1": off("web1")}, refusal=refusal)) == "no disk"


@pytest.mark.parametrize("known", [{"is_ending": True}, {"is_current": False}])
async def test_what_is_to_end_is_not_started(known: dict[str, Any]) -> None:
    libvirt = HandLibvirt({"web1": off("web1")})
    assert await start(libvirt, **known) == "it was to end before it was started"
    assert "start web1" not in libvirt.asked


@pytest.mark.parametrize("runs", [True, False])
async def test_what_came_of_a_start_that_is_to_end_is_found_out(*, runs: bool) -> None:
    libvirt = HandLibvirt({"web1": running("web1") if runs else off("web1")})

    def be_busy() -> None:
        if libvirt.asked.count("domains") == 1 and not busy:
            busy.append(True)
            libvirt.lists_to_fail = 2

    busy: list[bool] = []
    failure = await start(libvirt, meanwhile=be_busy, is_ending=True, is_asked=True)
    assert failure == ("" if runs else "it was to end before it was started")
    assert libvirt.lists_to_fail == 0
    assert "start web1" not in libvirt.asked


async def test_what_arrives_is_not_started() -> None:
    arriving = replace(running("web1"), state=DomainState.PAUSED, reason="migration")
    libvirt = HandLibvirt({"web1": off("web1")})
    libvirt.found["web1"] = arriving
    failure = await start(libvirt, is_ending=True, is_asked=True)
    assert failure == "it was to end before it was started"
    assert "start web1" not in libvirt.asked
