"""Questions that need no process; the others: tests/process."""

from pathlib import Path

import anyio
import pytest

from virtsupd.core.events import Instant
from virtsupd.core.names import Name
from virtsupd.core.spec import (
    ExitProbe,
    FdProbe,
    HostCheck,
    HostProbe,
    LogLineProbe,
    MountProbe,
    NotifyProbe,
    PathProbe,
    Probe,
)
from virtsupd.errors import NotReadyError
from virtsupd.process.notify import Watchdog
from virtsupd.process.readiness import ProbeContext, check, wait_missing, wait_ready


class StoppedClock:
    """It is always 100."""

    def now(self) -> Instant:
        return Instant(100.0, 100.0)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


def context(watchdog: Watchdog | None = None) -> ProbeContext:
    return ProbeContext(name=Name("web"), clock=StoppedClock(), watchdog=watchdog)


@pytest.mark.parametrize(
    "probe",
    [None, PathProbe("/proc"), MountProbe("/proc"), HostProbe(HostCheck.NETWORKING, assume=True)],
)
async def test_what_holds_already_is_not_waited_for(probe: Probe | None) -> None:
    assert await wait_ready(probe, context()) is None


async def test_a_file_is_missed_as_soon_as_it_goes_but_not_while_it_is_replaced(
    tmp_path: Path,
) -> None:
    there, other, told = tmp_path / "there", tmp_path / "other", []
    there.touch()

    async def miss() -> None:
        told.append(await wait_missing(PathProbe(str(there)), context()))

    async with anyio.create_task_group() as group:
        group.start_soon(miss)
        await anyio.wait_all_tasks_blocked()
        other.touch()
        other.replace(there)
        await anyio.wait_all_tasks_blocked()
        assert not told
        there.unlink()
    assert told == [f"{there} does not exist"]


@pytest.mark.parametrize("gone", ["real/a/b/c", "real/a", "link", "real/c"])
async def test_a_file_is_missed_when_a_link_or_a_directory_on_the_way_goes(
    tmp_path: Path, gone: str
) -> None:
    (tmp_path / "real/a/b").mkdir(parents=True)
    (tmp_path / "real/a/b/c").touch()
    (tmp_path / "real/c").symlink_to("a/b/c")
    (tmp_path / "link").symlink_to("real")
    missed = anyio.Event()

    async def miss() -> None:
        await wait_missing(PathProbe(str(tmp_path / "link/c")), context())
        missed.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(miss)
            await anyio.wait_all_tasks_blocked()
            (tmp_path / gone).rename(tmp_path / "elsewhere")
            await missed.wait()


@pytest.mark.parametrize("path", ["/proc/none", "/sys/none"])
async def test_what_the_kernel_does_not_tell_of_is_never_missed(path: str) -> None:
    with anyio.move_on_after(0.05) as scope:
        await wait_missing(PathProbe(path), context())
    assert scope.cancelled_caught


@pytest.mark.parametrize("probe", [FdProbe(), LogLineProbe("ready")])
async def test_what_the_service_cannot_say_is_never_ready(probe: Probe) -> None:
    with pytest.raises(NotReadyError):
        await wait_ready(probe, context())


async def test_the_end_of_a_process_is_told_by_others() -> None:
    with anyio.move_on_after(0) as scope:
        await wait_ready(ExitProbe(), context())
    assert scope.cancelled_caught


@pytest.mark.parametrize("probe", [ExitProbe(), FdProbe(), LogLineProbe("ready")])
async def test_what_tells_of_a_start_cannot_be_checked(probe: Probe) -> None:
    with pytest.raises(NotReadyError, match="cannot be repeated"):
        await check(probe, context())


async def test_a_service_is_well_as_long_as_its_watchdog_is_fed() -> None:
    await check(NotifyProbe(), context())
    await check(NotifyProbe(), context(Watchdog(1.0, now=99.5)))
    with pytest.raises(NotReadyError, match="did not say WATCHDOG=1 in time"):
        await check(NotifyProbe(), context(Watchdog(1.0, now=99.0)))


@pytest.mark.parametrize(
    ("probe", "seen"),
    [
        (PathProbe("/none"), "/none does not exist"),
        (MountProbe("/none"), "nothing is mounted at /none"),
    ],
)
async def test_a_check_says_what_is_missing(probe: Probe, seen: str) -> None:
    with pytest.raises(NotReadyError, match=seen):
        await check(probe, context())
