"""What holds for every test: it leaves nothing behind.

After each test there is no child process and no open descriptor that was not there before it, and
nothing in the directory for temporary files, which is one of the test run's own. `tmp_path` is
pytest's and may be left full. What a module's or the session's fixtures hold is theirs.
"""

import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.checks import eventually

SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a process holds of the machine."""

    children: frozenset[int]
    descriptors: frozenset[tuple[int, str]]
    files: frozenset[str]

    @classmethod
    def now(cls) -> "Holdings":
        """Look."""
        return cls(children(), descriptors(), frozenset(os.listdir(tempfile.gettempdir())))  # noqa: PTH208 - names are meant

    def beyond(self, before: "Holdings") -> list[str]:
        """Return, in words, what is held now and was not before."""
        return [
            *(f"child process {pid} ({name_of(pid)})" for pid in self.children - before.children),
            *(f"descriptor {fd} ({to})" for fd, to in self.descriptors - before.descriptors),
            *(f"temporary file {name}" for name in self.files - before.files),
        ]


def children() -> frozenset[int]:
    """Return the pids of this process's children, of whichever thread, zombies included."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update(int(pid) for pid in (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):  # the thread has just ended
            continue
    return frozenset(found)


def descriptors() -> frozenset[tuple[int, str]]:
    """Return this process's open descriptors, each with what it stands for."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add((int(link.name), str(link.readlink())))
        except FileNotFoundError:  # the one this listing was read through
            continue
    return frozenset(found)


def name_of(pid: int) -> str:
    """Return what the process is called."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return "gone"


def end(pid: int) -> None:
    """Kill a child that a test left, so that later tests do not see it."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


@pytest.fixture(scope="session", autouse=True)
def temporary_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the session, and the programs it runs, a directory of its own for temporary files."""
    directory = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(directory))
        patch.setattr(tempfile, "tempdir", str(directory))
        yield directory


@pytest.fixture(autouse=True)
def leaves_nothing(temporary_directory: Path) -> Iterator[None]:
    """Fail a test that leaves a child, a descriptor or a temporary file behind."""
    assert temporary_directory.is_dir()
    before = Holdings.now()
    yield
    left = Holdings.now().beyond(before)
    if left:
        gc.collect()  # closes what is unreachable, with the warning that fails a test
        left = settled(before)
    for pid in children() - before.children:
        end(pid)
    assert not left, "left behind: " + ", ".join(left)


def settled(before: Holdings) -> list[str]:
    """Return what is still held after a moment for what is on its way out."""
    try:
        eventually(lambda: not Holdings.now().beyond(before), "", seconds=SETTLE_SECONDS)
    except AssertionError:
        return Holdings.now().beyond(before)
    return []
