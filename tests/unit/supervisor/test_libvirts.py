"""Links to libvirt: as many as are needed, and nobody goes on before the list of domains is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from tests.support.hand_libvirt import HandLibvirt, NapClock, running

from virtsupd.process.domains import DomainNews, DomainState
from virtsupd.supervisor.libvirts import Libvirts

URI = "qemu:///system"
DEADLINE_SECONDS = 10.0


@asynccontextmanager
async def linked(
    libvirt: HandLibvirt, sockets: dict[str, str] | None = None
) -> AsyncIterator[Libvirts]:
    with anyio.fail_after(DEADLINE_SECONDS):
        async with anyio.create_task_group() as tasks:
            yield Libvirts(
                lambda _uri: libvirt, clock=NapClock(), tasks=tasks, sockets=sockets or {}
            )
            tasks.cancel_scope.cancel()


async def test_the_list_is_told_before_anybody_goes_on() -> None:
    libvirt, told = HandLibvirt({"web1": running("web1")}), list[str]()
    async with linked(libvirt) as libvirts:
        libvirts.on_list = lambda uri, found: told.append(f"{uri} {sorted(found)}")
        await libvirts.connected(URI, lambda _why: None)
        assert told == [f"{URI} ['web1']"]


class Told:
    """What is told of one domain after another, as "web1 off"."""

    def __init__(self, libvirts: Libvirts) -> None:
        self.news: list[str] = []
        libvirts.on_news = self._hear

    def _hear(self, uri: str, news: DomainNews) -> None:
        assert uri == URI
        self.news.append(f"{news.domain} {news.state}")


async def test_an_end_that_libvirt_does_not_tell_is_seen_soon_after_a_connection() -> None:
    """A new libvirtd has a guest as running until it has looked for its QEMU, and forgets others."""
    libvirt = HandLibvirt({"web1": running("web1"), "web2": running("web2")})
    async with linked(libvirt) as libvirts:
        told = Told(libvirts)
        await libvirts.connected(URI, lambda _why: None)
        libvirt.put("web1", DomainState.OFF, "daemon", is_told=False)
        del libvirt.found["web2"]
        await anyio.wait_all_tasks_blocked()
        assert told.news[:2] == ["web2 gone", "web1 off"]
        assert told.news.count("web2 gone") == 1


async def test_a_guest_that_shuts_down_is_looked_at_until_it_has_ended() -> None:
    libvirt = HandLibvirt({"web1": running("web1")})
    async with linked(libvirt) as libvirts:
        await libvirts.connected(URI, lambda _why: None)
        await anyio.wait_all_tasks_blocked()
        told = Told(libvirts)
        libvirt.put("web1", DomainState.SHUTTING_DOWN, "unknown")
        libvirt.put("web1", DomainState.OFF, "daemon", is_told=False)
        await anyio.wait_all_tasks_blocked()
        assert told.news[:2] == ["web1 in shutdown", "web1 off"]


async def test_nothing_is_asked_while_nothing_happens() -> None:
    libvirt = HandLibvirt({"web1": running("web1")})
    async with linked(libvirt) as libvirts:
        await libvirts.connected(URI, lambda _why: None)
        await anyio.wait_all_tasks_blocked()
        asked = len(libvirt.asked)
        libvirt.put("web1", DomainState.PAUSED, "user")
        await anyio.wait_all_tasks_blocked()
        assert len(libvirt.asked) == asked


async def test_all_domains_are_told_again_to_who_attends_to_others() -> None:
    libvirt, told = HandLibvirt({"web1": running("web1")}), list[str]()
    async with linked(libvirt) as libvirts:
        libvirts.on_list = lambda _uri, found: told.extend(found)
        libvirts.attend([URI])
        await anyio.wait_all_tasks_blocked()
        assert told == ["web1"]
        libvirts.attend([URI])
        await anyio.wait_all_tasks_blocked()
        assert told == ["web1"] * 2
        libvirt.lose("it was stopped")
        libvirts.attend([URI])
        await anyio.wait_all_tasks_blocked()
        assert told == ["web1"] * 2


async def test_a_list_that_failed_is_asked_for_again() -> None:
    libvirt = HandLibvirt({"web1": running("web1")}, lists_to_fail=2)
    async with linked(libvirt) as libvirts:
        await libvirts.connected(URI, lambda _why: None)
        assert libvirt.asked[:4] == ["nudge", "domains", "domains", "domains"]


async def test_who_waits_is_told_why() -> None:
    libvirt, notes = HandLibvirt(is_up=False), list[str]()
    async with linked(libvirt) as libvirts, anyio.create_task_group() as waiting:
        libvirts.attend([URI])
        libvirt.lose("there is no socket")
        waiting.start_soon(libvirts.connected, URI, notes.append)
        await anyio.wait_all_tasks_blocked()
        assert notes == ["libvirt cannot be reached: there is no socket"]
        assert libvirt.asked == ["nudge"]
        libvirt.lose("there is no socket")
        await anyio.wait_all_tasks_blocked()
        libvirt.lose("it denies us")
        await anyio.wait_all_tasks_blocked()
        assert notes[1:] == ["libvirt cannot be reached: it denies us"]
        libvirt.return_()


async def test_links_that_nobody_needs_any_more_are_closed() -> None:
    libvirt = HandLibvirt()
    async with linked(libvirt) as libvirts:
        libvirts.attend([URI])
        await anyio.wait_all_tasks_blocked()
        libvirts.attend([])
        await anyio.wait_all_tasks_blocked()
        assert libvirt.asked[-1] == "close"
        assert libvirt.asked.count("close") == 1


@pytest.mark.process
async def test_a_socket_that_comes_up_makes_the_link_try(tmp_path: Path) -> None:
    libvirt = HandLibvirt(is_up=False)
    async with linked(libvirt, {URI: str(tmp_path / "sock")}) as libvirts:
        libvirts.attend([URI])
        await anyio.wait_all_tasks_blocked()
        assert libvirt.asked == []
        (tmp_path / "sock").touch()
        while "nudge" not in libvirt.asked:
            await anyio.lowlevel.checkpoint()
