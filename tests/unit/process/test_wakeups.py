"""Growing pauses, and how often a watcher looks when files change."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from virtsupd.process.wakeups import Changes, FileChanges, Pause


def test_a_pause_doubles_up_to_its_longest_and_begins_again() -> None:
    pause = Pause(0.01, 0.25)
    assert [pause.take() for _ in range(6)] == [0.01, 0.02, 0.04, 0.08, 0.16, 0.25]
    pause.reset()
    assert pause.take() == 0.01


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
        neighbour.unlink()
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


class Refused(Changes):
    """A kernel without the facility."""

    def _open(self) -> int:
        raise OSError(24, "no more of these")


async def test_without_the_facility_it_looks_again_after_a_while() -> None:
    looks = Looks()
    with anyio.fail_after(5):
        async with Refused() as changes:
            assert await changes.until(lambda: looks() or ("found" if looks.count == 3 else None))


@pytest.mark.parametrize("at_most_seconds", [0.0, 0.001])
async def test_a_wait_ends_at_its_limit(tmp_path: Path, at_most_seconds: float) -> None:
    async with FileChanges(str(tmp_path / "path")) as changes:
        changes.rearm()
        assert not await changes.wait(at_most_seconds)
