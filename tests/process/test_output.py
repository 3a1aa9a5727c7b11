"""The output of real services through a real log keeper: nothing is lost, whoever is killed."""

import os
import random
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psutil
import pytest
from tests.support.outputs import (
    WEB,
    Captured,
    assert_whole,
    capturing,
    content,
    reap,
    settled,
    small_disk,
    start_writer,
    until,
)

from virtsupd.core.names import Name
from virtsupd.core.spec import LogSpec

pytestmark = pytest.mark.process


@asynccontextmanager
async def writing(fd: int, lines: int, length: int, per_second: int) -> AsyncIterator[int]:
    """Run the writer to its end."""
    pid = start_writer(fd, lines, length, per_second)
    pidfd = os.pidfd_open(pid)
    try:
        yield pid
        with anyio.fail_after(15):
            await anyio.wait_readable(pidfd)
    finally:
        os.close(pidfd)
        reap(pid)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def text_of(path: str | Path) -> str:
    return Path(path).read_text()


def spec(directory: Path, **options: object) -> LogSpec:
    return LogSpec(**({"file": str(directory / "log" / "web.log")} | options))  # type: ignore[arg-type]


def opened(outputs: Captured, log: LogSpec) -> int:
    return outputs.open(WEB, log, uid=0, gid=0)


async def killed(outputs: Captured) -> None:
    """Kill the keeper and return when the next is connected."""
    pid = outputs.keeper_pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: outputs.keeper_pid not in {None, pid}, "another keeper")


async def test_ten_kills_of_the_keeper_lose_no_line(tmp_path: Path) -> None:
    async with capturing(tmp_path / "run") as outputs:
        fd = opened(outputs, spec(tmp_path, max_size_bytes=0))
        async with writing(fd, 1500, 50, 1000):
            for _ in range(10):
                await killed(outputs)
        await outputs.drained(WEB)
        assert_whole(content(outputs), 1500, 50)


@pytest.mark.parametrize("seed", [1, 2])
async def test_kills_during_a_flood_with_rotation_and_compression_lose_no_line(
    tmp_path: Path, seed: int
) -> None:
    moment = random.Random(seed)
    log = spec(tmp_path, max_size_bytes=1 << 20, keep=1000)
    async with capturing(tmp_path / "run") as outputs:
        fd = opened(outputs, log)
        async with writing(fd, 250_000, 100, 0):
            for _ in range(10):
                await anyio.sleep(moment.uniform(0, 0.03))
                await killed(outputs)
        await settled(outputs)
        assert_whole(content(outputs), 250_000, 100)


async def test_lines_across_buffer_blocks_are_rotated_at_line_ends(tmp_path: Path) -> None:
    log = spec(tmp_path, max_size_bytes=1 << 16, keep=1000, compress="none")
    async with capturing(tmp_path / "run") as outputs:
        fd = opened(outputs, log)
        # Longer than a write that is atomic: batches end inside lines.
        async with writing(fd, 2000, 6007, 0):
            pass
        await outputs.drained(WEB)
        assert_whole(content(outputs), 2000, 6007)
        assert len(outputs.files(WEB)) > 20
        assert all(text_of(file)[-1:] in {"\n", ""} for file in outputs.files(WEB))


async def test_last_words_are_in_the_file_once_drained(tmp_path: Path) -> None:
    async with capturing(tmp_path / "run") as outputs:
        fd = opened(outputs, spec(tmp_path))
        async with writing(fd, 3, 20, 0):
            pass
        await outputs.drained(WEB)
        assert await outputs.tail(WEB, 2) == [f"0000000{n} " + "x" * 10 for n in (1, 2)]


async def test_a_flooding_service_leaves_its_neighbour_its_turn(tmp_path: Path) -> None:
    async with capturing(tmp_path / "run") as outputs:
        fd = opened(outputs, spec(tmp_path, max_size_bytes=1 << 20))
        quiet = outputs.open(Name("quiet"), LogSpec(str(tmp_path / "quiet.log")), uid=0, gid=0)
        async with writing(fd, 200_000, 100, 0):
            for number in range(20):
                os.write(quiet, b"%d\n" % number)
                await outputs.drained(Name("quiet"))
                assert await outputs.tail(Name("quiet"), 1) == [str(number)]


async def test_rotated_files_are_kept_and_compressed_as_said(tmp_path: Path) -> None:
    async with capturing(tmp_path / "run") as outputs:
        fd = opened(outputs, spec(tmp_path, max_size_bytes=1 << 16, keep=3))
        async with writing(fd, 10_000, 100, 0):
            pass
        await outputs.drained(WEB)
        log = str(tmp_path / "log" / "web.log")
        wanted = (log, *(f"{log}.{slot}.zst" for slot in (1, 2, 3)))
        await until(lambda: outputs.files(WEB) == wanted, "three compressed files")
        assert names(tmp_path / "log") == sorted(Path(file).name for file in wanted)


async def test_a_log_rotates_by_age_without_new_output(tmp_path: Path) -> None:
    async with capturing(tmp_path / "run") as outputs:
        fd = opened(outputs, spec(tmp_path, max_age_seconds=0.05, compress="none"))
        os.write(fd, b"old\n")
        await until(Path(f"{tmp_path}/log/web.log.1").exists, "a rotated file")


async def test_changed_settings_hold_without_a_new_descriptor(tmp_path: Path) -> None:
    async with capturing(tmp_path / "run") as outputs:
        fd = opened(outputs, spec(tmp_path))
        os.write(fd, b"one\n")
        other = str(tmp_path / "other.log")
        await outputs.drained(WEB)
        assert opened(outputs, spec(tmp_path, file=other)) == fd
        await outputs.drained(WEB)
        os.write(fd, b"two\n")
        await outputs.drained(WEB)
        assert text_of(other) == "two\n"
        assert (tmp_path / "log" / "web.log").read_text() == "one\n"


async def test_a_full_disk_drops_with_a_counted_gap(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=512) as disk:
        log = spec(tmp_path, file=str(disk / "web.log"), max_size_bytes=0)
        async with capturing(tmp_path / "run") as outputs:
            fd = opened(outputs, log)
            async with writing(fd, 20_000, 100, 0):
                pass
            await until(lambda: outputs.troubles, "trouble")
            await outputs.drained(WEB)
            os.truncate(log.file, 0)
            await until(lambda: outputs.troubles[-1][1] is None, "an end of the trouble")
            os.write(fd, b"after\n")
            await outputs.drained(WEB)
            text = text_of(log.file)
    reason = f"log cannot be written: {log.file}: No space left on device"
    assert (outputs.troubles[0][1] or "").startswith(reason)
    assert re.fullmatch(f"{reason}; at least [0-9]+ [KM]iB of output dropped", _told(outputs))
    gap = r"\[virtsupd: [0-9]+ bytes of output dropped: No space left on device\]\n"
    assert re.fullmatch(gap + "after\n", text)


def _told(outputs: Captured) -> str:
    """Return the last trouble that was told before its end."""
    return next(text for _, text in reversed(outputs.troubles) if text)


async def test_a_full_disk_makes_a_blocking_service_wait_and_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=512) as disk:
        (disk / "ballast").write_bytes(bytes(300 * 1024))
        log = spec(tmp_path, file=str(disk / "web.log"), on_full="block")
        async with capturing(tmp_path / "run") as outputs:
            fd = opened(outputs, log)
            async with writing(fd, 4500, 100, 0):
                await until(lambda: outputs.troubles, "trouble")
                (disk / "ballast").unlink()
            await until(lambda: outputs.troubles[-1][1] is None, "an end of the trouble")
            await outputs.drained(WEB)
            assert_whole(content(outputs), 4500, 100)


async def test_a_symbolic_link_is_refused_with_its_name(tmp_path: Path) -> None:
    target = tmp_path / "shadow"
    target.write_text("secret\n")
    link = tmp_path / "web.log"
    link.symlink_to(target)
    async with capturing(tmp_path / "run") as outputs:
        fd = opened(outputs, spec(tmp_path, file=str(link)))
        os.write(fd, b"evil\n")
        await outputs.drained(WEB)
        reason = "a symbolic link, which is not followed; at least 5 bytes of output dropped"
        expected = (WEB, f"log cannot be written: {link}: {reason}")
        await until(lambda: expected in outputs.troubles, "trouble")
    assert target.read_text() == "secret\n"


async def test_a_successor_takes_over_the_living_keeper(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    first = Captured(run_dir)
    async with first.running():
        fd = os.dup(opened(first, spec(tmp_path)))
        await first.connected()
        await first.drained(WEB)
        pid = first.keeper_pid
        first.leave()
    # Nobody supervises now; the service writes on and dies.
    async with writing(fd, 1000, 50, 0):
        pass
    os.close(fd)
    log = tmp_path / "log" / "web.log"
    await until(lambda: log.stat().st_size == 50_000, "the last words")
    async with capturing(run_dir) as second:
        assert second.keeper_pid == pid
        fd = opened(second, spec(tmp_path))
        os.write(fd, b"again\n")
        await second.drained(WEB)
        assert await second.tail(WEB, 1) == ["again"]


async def test_close_removes_the_fifo_once_it_is_empty(tmp_path: Path) -> None:
    async with capturing(tmp_path / "run") as outputs:
        fd = opened(outputs, spec(tmp_path))
        os.write(fd, b"last\n")
        outputs.close(WEB)
        await until(lambda: not names(tmp_path / "run" / "fifo"), "an empty directory")
        assert (tmp_path / "log" / "web.log").read_text() == "last\n"
        outputs.close(WEB)
        assert opened(outputs, spec(tmp_path)) > 2
        await outputs.drained(WEB)
        assert await outputs.tail(WEB, 1) == ["last"]


async def test_a_closed_log_goes_on_with_whoever_still_writes_though_the_keeper_dies(
    tmp_path: Path,
) -> None:
    async with capturing(tmp_path / "run") as outputs:
        guest = os.dup(opened(outputs, spec(tmp_path)))
        outputs.close(WEB)
        outputs.close(WEB)
        await outputs._answered("", 10.0)
        keeper = outputs.keeper_pid
        assert keeper is not None
        os.kill(keeper, signal.SIGKILL)
        os.write(guest, b"of a guest\n")
        file = tmp_path / "log" / "web.log"
        await until(lambda: file.exists() and file.read_text() == "of a guest\n", "its line")
        assert names(tmp_path / "run" / "fifo") == ["web"]
        os.close(guest)


async def test_terminal_signals_leave_the_keeper_alone_and_term_ends_it(tmp_path: Path) -> None:
    async with capturing(tmp_path / "run") as outputs:
        fd = opened(outputs, spec(tmp_path))
        pid = outputs.keeper_pid
        assert pid
        assert os.getsid(pid) == pid
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
        os.write(fd, b"one\n")
        await outputs.drained(WEB)
        assert outputs.keeper_pid == pid
        os.kill(pid, signal.SIGTERM)
        await until(lambda: outputs.keeper_pid not in {None, pid}, "another keeper")
        assert await outputs.tail(WEB, 1) == ["one"]


async def test_shutdown_leaves_the_logs_and_nothing_else(tmp_path: Path) -> None:
    async with capturing(tmp_path / "run") as outputs:
        pid = outputs.keeper_pid
        os.write(opened(outputs, spec(tmp_path)), b"end\n")
    assert not psutil.pid_exists(pid or 0)
    assert names(tmp_path / "run") == []
    assert (tmp_path / "log" / "web.log").read_text() == "end\n"


async def test_five_hundred_logs_cost_a_sleeping_keeper_and_few_megabytes(tmp_path: Path) -> None:
    async with capturing(tmp_path / "run") as outputs:
        for number in range(500):
            name = Name(f"s{number}")
            log = LogSpec(str(tmp_path / "log" / name), max_size_bytes=0)
            outputs.open(name, log, uid=0, gid=0)
        await outputs.drained(Name("s499"))
        pid = outputs.keeper_pid
        # The last argument of epoll_wait: no timeout.
        call = Path(f"/proc/{pid}/syscall")
        await until(lambda: call.read_text().split()[4:5] == ["0xffffffff"], "a sleeping keeper")
        memory = text_of(f"/proc/{pid}/smaps_rollup").splitlines()
        pss_kib = next(int(line.split()[1]) for line in memory if line.startswith("Pss:"))
        assert pss_kib < 8192


async def test_the_keeper_imports_next_to_nothing(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "src"
    listing = "import sys; print(*sorted(n for n in sys.modules if n not in before))"
    keeper = f"sys.path.insert(0, {str(source)!r}); import virtsupd.logkeeper.keeper"
    code = f"import sys; before = set(sys.modules); {keeper}; {listing}"
    async with await anyio.open_process([sys.executable, "-I", "-S", "-c", code]) as process:
        assert process.stdout is not None
        output = await process.stdout.receive()
        await process.wait()
    imported = set(output.decode().split())
    ours = {name for name in imported if name.startswith("virtsupd")}
    parts = ("compress", "keeper", "log", "messages", "regular", "rotation")
    assert ours == {"virtsupd", "virtsupd.logkeeper", *(f"virtsupd.logkeeper.{p}" for p in parts)}
    compiled = {"_socket", "_stat", "_struct", "errno", "fcntl", "select", "_signal", "time"}
    python = {"_collections_abc", "genericpath", "os", "os.path", "posixpath", "stat", "struct"}
    assert imported - ours <= compiled | python
