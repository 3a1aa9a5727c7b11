"""What tests of services' output share: a watcher of children, and Outputs that note what they say."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import anyio
from backports import zstd

from virtsupd.core.exits import ExitStatus, from_wait_status
from virtsupd.core.names import Name
from virtsupd.process.clock import SystemClock
from virtsupd.process.log_files import log_files
from virtsupd.process.log_tail import tail
from virtsupd.process.output import Outputs

DEADLINE_SECONDS = 10.0
WRITER = Path(__file__).parent.parent / "children" / "log_lines.py"
WEB = Name("web")


class PidfdWatcher:
    """Waits for each child by a pidfd of its own."""

    def watch(self, pid: int, on_exit: Callable[[ExitStatus], None]) -> None:
        """Reap the child when it ends and tell `on_exit`."""
        loop = asyncio.get_running_loop()
        pidfd = os.pidfd_open(pid)

        def reap() -> None:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            on_exit(from_wait_status(os.waitpid(pid, 0)[1]))

        loop.add_reader(pidfd, reap)


class Captured(Outputs):
    """Outputs that record each trouble they were told of."""

    def __init__(self, run_dir: Path) -> None:
        """Use a watcher of its own and the machine's clock; the run directory is made."""
        run_dir.mkdir(parents=True, exist_ok=True)
        self.troubles: list[tuple[str, str | None]] = []
        super().__init__(
            run_dir, children=PidfdWatcher(), clock=SystemClock(), on_trouble=self._note
        )

    def _note(self, name: Name, text: str | None) -> None:
        self.troubles.append((name, text))

    @property
    def keeper_pid(self) -> int | None:
        """The connected keeper's pid; None while there is none."""
        return self._link.pid

    async def connected(self) -> None:
        """Return once a keeper is connected and has been told of every log."""
        await self._link.connected.wait()

    def files(self, name: Name) -> tuple[str, ...]:
        """Return the log in use and the rotated ones."""
        return log_files(self._outputs[name].log.file)

    async def tail(self, name: Name, lines: int) -> list[str]:
        """Return the last lines of the log."""
        return await tail(self._outputs[name].log.file, lines)


@asynccontextmanager
async def capturing(run_dir: Path) -> AsyncIterator[Captured]:
    """Run Outputs and shut them down at the end, the keeper included."""
    outputs = Captured(run_dir)
    async with outputs.running():
        await outputs.connected()
        try:
            yield outputs
        finally:
            with anyio.CancelScope(shield=True):
                await outputs.shutdown()


async def until(fact: Callable[[], object], what: str) -> None:
    """Return once `fact` holds; look again each millisecond, at most for the deadline."""
    with anyio.move_on_after(DEADLINE_SECONDS):
        while not fact():  # noqa: ASYNC110 - the fact is in a file or another process
            await anyio.sleep(0.001)
        return
    raise AssertionError(f"still not so: {what}")


@contextmanager
def small_disk(directory: Path, *, kib: int) -> Iterator[Path]:
    """Mount a file system of that size; unmounted at the end."""
    directory.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(directory)]
    subprocess.run(command, check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Let nothing be written to a small disk for a while."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Fill a small disk to the last block with a file, which is returned."""
    path = disk / "filler"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            continue
    return path


def start_writer(fd: int, *arguments: int) -> int:
    """Start the writer with its standard output there and return its pid."""
    command = [sys.executable, "-I", "-S", str(WRITER), *map(str, arguments)]
    actions = [(os.POSIX_SPAWN_DUP2, fd, 1)]
    return os.posix_spawn(sys.executable, command, {}, file_actions=actions)


def has_ended(pid: int) -> bool:
    """Whether the child has ended; it stays to be reaped."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def reap(pid: int) -> None:
    """End the writer if it has not, and expect that it had, well."""
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == 0


def content(outputs: Captured) -> bytes:
    """Return all that was logged, oldest first, rotated and compressed files included."""
    found = []
    for file in reversed(outputs.files(WEB)):
        raw = Path(file).read_bytes()
        found.append(zstd.decompress(raw) if file.endswith(".zst") else raw)
    return b"".join(found)


async def settled(outputs: Captured) -> None:
    """Return once everything written is in a file and every rotated file is compressed."""
    await outputs.drained(WEB)
    await until(
        lambda: all(file.endswith(".zst") for file in outputs.files(WEB)[1:]), "compressed files"
    )


def assert_whole(text: bytes, lines: int, length: int) -> None:
    """Every line is there once, in order and uncut."""
    assert len(text) == lines * length
    numbers = [int(line[:8]) for line in text.splitlines()]
    assert numbers == list(range(lines))
