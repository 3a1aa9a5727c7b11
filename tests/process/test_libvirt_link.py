"""virtsupd's end of a link, with the process itself; its virsh is a fake."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.support.fake_virsh import URI, FakeVirsh, is_running, states
from tests.support.outputs import PidfdWatcher, until

from virtsupd.errors import SpawnError
from virtsupd.process.domains import DomainError, DomainNews, DomainState
from virtsupd.process.libvirt_link import LibvirtLink
from virtsupd.process.plan import Child, Spawner, SpawnPlan
from virtsupd.process.spawn import best_spawner

pytestmark = pytest.mark.process


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVirsh]:
    fake = FakeVirsh(tmp_path / "virsh")
    monkeypatch.setenv("PATH", fake.path)
    yield fake
    fake.close()


class Links:
    """What a link tells, and the processes that were made for it."""

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner
        self.news: list[DomainNews] = []
        self.told: list[tuple[bool, str]] = []
        self.begun: list[tuple[int, float]] = []
        """Pid and when."""
        self.cannot_spawn = False
        self.instead = ""
        """What a process says that is no link; it ends when it is let go of, as a link does."""

    def spawn(self, plan: SpawnPlan) -> Child:
        """Make the process, through virsh even where libvirt-python is installed."""
        if self.cannot_spawn:
            raise SpawnError("fork", "no memory", is_permanent=False)
        if self.instead:
            shell = f"printf '%s\\n' '{self.instead}'; cat >&2"
            plan = replace(plan, executable="/bin/sh", argv=("sh", "-c", shell))
        else:
            plan = replace(plan, argv=(*plan.argv, "virsh"))
        child = self._spawner.spawn(plan)
        self.begun.append((child.pid, asyncio.get_running_loop().time()))
        return child

    @property
    def is_up(self) -> bool:
        return bool(self.told) and self.told[-1][0]

    @asynccontextmanager
    async def link(self) -> AsyncIterator[LibvirtLink]:
        link = LibvirtLink(URI, spawner=self, children=PidfdWatcher())
        link.on_news = self.news.append
        link.on_link = lambda is_up, why: self.told.append((is_up, why))
        link.open()
        try:
            yield link
        finally:
            await link.close()

    async def await_up(self) -> None:
        await until(lambda: self.is_up, "a connection")

    async def await_begun(self, count: int) -> None:
        await until(lambda: len(self.begun) >= count, f"{count} processes")


@pytest.fixture
def links() -> Links:
    return Links(best_spawner())


class Call:
    """A call that is under way."""

    def __init__(self) -> None:
        self.error: DomainError | None = None
        self.scope = anyio.CancelScope()

    async def save(self, link: LibvirtLink) -> None:
        try:
            with self.scope:
                await link.save("web1")
        except DomainError as error:
            self.error = error


async def kind_of_failure(link: LibvirtLink) -> str:
    with pytest.raises(DomainError) as caught:
        await link.start("web1")
    return caught.value.kind


async def test_libvirt_is_asked_and_answers(virsh: FakeVirsh, links: Links) -> None:
    virsh.says("domstats", states(("web1", 1, 1), ("é '", 5, 2)))
    for command in ("start", "shutdown", "managedsave", "resume", "destroy", "qemu-agent-command"):
        virsh.says(command, "")
    async with links.link() as link:
        await links.await_up()
        assert link.backend == "virsh"
        assert await link.domains() == {
            "web1": DomainNews("web1", DomainState.RUNNING, "booted"),
            "é '": DomainNews("é '", DomainState.OFF, "destroyed"),
        }
        await link.start("é '")
        await link.shutdown("é '", "acpi")
        await link.save("é '")
        await link.resume("é '")
        await link.destroy("é '")
        await link.ping_agent("é '", 2.0)
        assert virsh.asked("start") == [["start", "--", "é '"]]
        assert virsh.asked("resume") == [["resume", "--", "é '"]]
        assert virsh.asked("shutdown") == [["shutdown", "--mode", "acpi", "--", "é '"]]
        virsh.fails("start", "failed to get domain 'é ''")
        with pytest.raises(DomainError, match="failed to get domain") as caught:
            await link.start("é '")
        assert caught.value.kind == "no-such-domain"


async def test_news_is_told(virsh: FakeVirsh, links: Links) -> None:
    virsh.says("domstats", states(("web1", 5, 3)))
    async with links.link():
        await links.await_up()
        virsh.tell("event 'lifecycle' for domain 'web1': Stopped Crashed")
        await until(lambda: links.news, "news")
        assert links.news[0] == DomainNews("web1", DomainState.OFF, "crashed")


async def test_without_a_connection_every_call_fails_at_once(
    virsh: FakeVirsh, links: Links
) -> None:
    virsh.does("greeting", "echo 'error: failed to connect'; exit 1")
    async with links.link() as link:
        assert await kind_of_failure(link) == "unreachable"
        await until(lambda: links.told, "a failure")
        assert links.told[0] == (False, "failed to connect")
        assert await kind_of_failure(link) == "unreachable"


async def test_calls_under_way_fail_when_libvirt_is_lost(virsh: FakeVirsh, links: Links) -> None:
    virsh.hangs("managedsave")
    async with links.link() as link, anyio.create_task_group() as tasks:
        await links.await_up()
        call = Call()
        tasks.start_soon(call.save, link)
        await until(virsh.hanging, "a save")
        virsh.lose()
        await until(lambda: call.error, "a failure")
        assert (False, "virsh has ended") in links.told
        await links.await_up()
    assert call.error is not None
    assert call.error.kind == "unreachable"


async def test_a_call_may_be_cancelled_and_what_was_asked_stands(
    virsh: FakeVirsh, links: Links
) -> None:
    virsh.hangs("managedsave")
    virsh.says("start", "")
    async with links.link() as link, anyio.create_task_group() as tasks:
        await links.await_up()
        call = Call()
        tasks.start_soon(call.save, link)
        await until(virsh.hanging, "a save")
        call.scope.cancel()
        await link.start("web1")
        assert is_running(*virsh.hanging())
        virsh.release()
        await link.start("web1")


async def test_a_process_that_is_killed_is_started_again_with_growing_pauses(
    virsh: FakeVirsh, links: Links
) -> None:
    """Also when each comes up before it dies."""
    virsh.hangs("managedsave")
    async with links.link() as link, anyio.create_task_group() as tasks:
        await links.await_up()
        call = Call()
        tasks.start_soon(call.save, link)
        await until(virsh.hanging, "a save")
        deaths: list[float] = []
        for count in range(1, 4):
            pid, _ = links.begun[-1]
            os.kill(pid, signal.SIGKILL)
            await until(lambda: not links.is_up, "a loss")
            deaths.append(asyncio.get_running_loop().time())
            assert links.told[-1] == (False, "the libvirt link ended by SIGKILL")
            await links.await_begun(count + 1)
            await links.await_up()
        pauses = [begun - death for death, (_, begun) in zip(deaths, links.begun[1:], strict=True)]
        assert pauses[0] < pauses[1] < pauses[2]
    assert call.error is not None
    assert call.error.kind == "unreachable"


async def test_a_nudge_does_not_wait_for_the_pause(virsh: FakeVirsh, links: Links) -> None:
    async with links.link() as link:
        for count in range(1, 5):
            await links.await_up()
            os.kill(links.begun[-1][0], signal.SIGKILL)
            await until(lambda: not links.is_up, "a loss")
            link.nudge()
            assert len(links.begun) == count + 1


async def test_a_process_that_cannot_be_started_is_tried_again(
    virsh: FakeVirsh, links: Links
) -> None:
    links.cannot_spawn = True
    async with links.link() as link:
        assert links.told == [(False, "cannot start the libvirt link: no memory")]
        assert await kind_of_failure(link) == "unreachable"
        links.cannot_spawn = False
        await links.await_up()


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        '{"x": 1}',
        '{"news": ["web1", "dancing", "", null, null]}',
        '{"news": []}',
        '{"news": 7}',
        '{"id": [], "ok": null}',
        '{"id": 1, "ok": [7]}',
    ],
)
async def test_garbage_costs_the_process_and_nothing_else(
    virsh: FakeVirsh, links: Links, text: str
) -> None:
    links.instead = text
    async with links.link():
        await until(lambda: links.told, "a loss")
        assert not is_running(links.begun[0][0])
        assert links.told[0][0] is False
        links.instead = ""
        await links.await_up()
    assert links.news == []


async def test_close_ends_the_process_and_nothing_starts_it_again(
    virsh: FakeVirsh, links: Links
) -> None:
    async with links.link() as link:
        await links.await_up()
        await link.close()
        assert link.pid is None
        assert not any(map(is_running, [links.begun[0][0], *virsh.watchers()]))
        link.nudge()
        assert await kind_of_failure(link) == "unreachable"
        assert len(links.begun) == 1


async def test_close_during_a_pause_starts_nothing_any_more(virsh: FakeVirsh, links: Links) -> None:
    links.cannot_spawn = True
    async with links.link() as link:
        await link.close()
        links.cannot_spawn = False
        link.nudge()
        assert links.begun == []


async def test_a_process_that_does_not_end_by_itself_is_killed(
    virsh: FakeVirsh, links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtsupd.process.libvirt_link._END_SECONDS", 0.2)
    async with links.link() as link:
        await links.await_up()
        pid = links.begun[0][0]
        os.kill(pid, signal.SIGSTOP)
        await link.close()
        await until(lambda: not is_running(pid), "an end")
        await until(lambda: not any(map(is_running, virsh.watchers())), "an end of virsh")
