"""How often a watcher looks when files change, and what it gives back."""

import math
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from tests.support.probing import join_threads

from virtsupd.process.filechanges import FileChanges


@pytest.fixture(autouse=True)
def threads_have_ended() -> Iterator[None]:
    yield
    join_threads()


class Looks:
    """A look that finds nothing until it is told to, and counts."""

    def __init__(self) -> None:
        self.count = 0
        self.found: str | None = None
        self._looked = anyio.Event()

    def __call__(self) -> str | None:
        self.count += 1
        self._looked.set()
        return self.found

    async def next(self) -> None:
        self._looked = anyio.Event()
        await self._looked.wait()


@asynccontextmanager
async def watched(path: Path) -> AsyncIterator[Looks]:
    looks = Looks()

    async def watch() -> None:
        async with FileChanges(str(path)) as changes:
            assert await changes.until(looks) == "found"

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await looks.next()
            yield looks


async def test_each_step_of_the_way_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    async with watched(path) as looks:
        path.parent.mkdir()
        await looks.next()
        path.touch()
        await looks.next()
        path.write_text("more")
        await looks.next()
        path.unlink()
        await looks.next()
        path.parent.rmdir()
        await looks.next()
        path.parent.mkdir()
        await looks.next()
        looks.found = "found"
        (tmp_path / "other").touch()
        (tmp_path / "other").rename(path)


async def test_writing_to_a_neighbour_wakes_nobody(tmp_path: Path) -> None:
    neighbour, path = tmp_path / "neighbour", tmp_path / "path"
    neighbour.touch()
    async with watched(path) as looks:
        neighbour.write_text("more")
        neighbour.rename(tmp_path / "moved")
        (tmp_path / "another").touch()
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        assert looks.count == 1
        looks.found = "found"
        path.touch()
    assert looks.count == 2


async def test_a_link_is_followed_to_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/file")
    async with watched(tmp_path / "link") as looks:
        looks.found = "found"
        (tmp_path / "real" / "file").touch()


async def test_an_unsettled_thing_is_looked_at_without_being_told(tmp_path: Path) -> None:
    looks = Looks()

    def look() -> str | None:
        return "found" if looks() is None and looks.count == 4 else None

    with anyio.fail_after(5):
        async with FileChanges(str(tmp_path / "path")) as changes:
            assert await changes.until(look, is_unsettled=lambda: True) == "found"


async def test_what_the_kernel_does_not_report_is_looked_at_again() -> None:
    with anyio.fail_after(5):
        async with FileChanges("/proc/none") as changes:
            assert not await changes.wait(math.inf)


@pytest.mark.parametrize("at_most_seconds", [0.0, 0.001])
async def test_a_wait_ends_at_its_limit(tmp_path: Path, at_most_seconds: float) -> None:
    async with FileChanges(str(tmp_path / "path")) as changes:
        changes.rearm()
        assert not await changes.wait(at_most_seconds)


def descriptors() -> int:
    """Count the inotify instances of this process."""
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 -- names
    return sum(os.path.lexists(link) and "inotify" in os.readlink(link) for link in links)  # noqa: PTH115 -- as above


async def test_all_who_wait_share_one_instance(tmp_path: Path) -> None:
    path = str(tmp_path / "path")
    async with FileChanges(path) as one, FileChanges(path) as other:
        one.rearm()
        other.rearm()
        assert descriptors() == 1
        async with FileChanges(path) as third:
            third.rearm()
        (tmp_path / "path").touch()
        with anyio.fail_after(5):
            assert await one.wait()
            assert await other.wait()


async def test_lost_events_wake_everybody(tmp_path: Path) -> None:
    async with FileChanges(str(tmp_path / "a")) as one, FileChanges(str(tmp_path / "b")) as other:
        one.rearm()
        other.rearm()
        assert one._inotify is not None
        one._inotify._tell(b"\xff\xff\xff\xff" + b"\0@\0\0" + bytes(8))
        assert await one.wait()
        assert await other.wait()
