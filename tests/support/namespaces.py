"""Private mount, network and pid namespaces around a program that a test runs."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.checks import eventually, text_of

CHECKOUT = Path(__file__).resolve().parents[2]
INIT = CHECKOUT / "tests/support/init.py"
PRIVATE_LIBVIRT = CHECKOUT / "scripts/private-libvirt"
CGROUPS = Path("/sys/fs/cgroup")
LIBVIRT_CGROUP = "machine"
COMMAND_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Namespaces:
    """What a test can do with the namespaces of the program it started.

    `first` is the namespaces' first process by the test's own count, `shared` the directory that
    lies at the same path inside and outside.
    """

    outer: subprocess.Popen[bytes]
    first: int
    shared: Path

    @property
    def root(self) -> Path:
        """The file system as the program sees it."""
        return Path(f"/proc/{self.first}/root")

    @property
    def output(self) -> str:
        """What the program has printed so far, on both streams."""
        return text_of(self.shared / "output")

    def run(
        self, *command: str, is_ok: bool = True, seconds: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and wait for its end.

        Raises:
            AssertionError: it failed although `is_ok`.
            subprocess.TimeoutExpired: it took longer than `seconds`.
        """
        enter = ["nsenter", "--target", str(self.first), "--mount", "--net", "--pid"]
        enter += ["--root", "--wd"]  # the tests may themselves run in a chroot
        done = subprocess.run(
            [*enter, "--", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        assert not is_ok or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def signal(self, pid: int, name: str) -> None:
        """Send a signal ("KILL") to a process inside, by its pid there."""
        self.run("sh", "-c", f"kill -{name} {pid}")

    def start_time(self, pid: int) -> str | None:
        """Return what tells this process from a later one of the same pid; None if it is gone."""
        stat = text_of(self.root / f"proc/{pid}/stat")
        return stat.rsplit(")", 1)[1].split()[19] if stat else None

    def wait(self, *, seconds: float = COMMAND_SECONDS) -> int:
        """Return the program's exit status once it has ended and nothing of it is left.

        Raises:
            AssertionError: something outlived the program.
            subprocess.TimeoutExpired: it has not ended after `seconds`.
        """
        self.outer.wait(seconds)
        report: dict[str, Any] = json.loads(text_of(self.shared / "report") or '{"left": []}')
        assert report["left"] == [], f"outlived its end: {report['left']}\n{self.output}"
        return self.outer.returncode

    def type(self, text: str) -> None:
        """Write to the program's standard input."""
        assert self.outer.stdin is not None
        self.outer.stdin.write(text.encode())
        self.outer.stdin.flush()


@contextmanager
def isolated(
    program: Sequence[str],
    *,
    shared: Path,
    environment: dict[str, str] | None = None,
    is_first: bool = False,
) -> Iterator[Namespaces]:
    """Run `program` in private namespaces with empty directories of libvirt's; end it afterwards.

    It has the loopback interface and no other; `is_first` makes it the first process itself. Whatever it leaves running is killed at the end of
    the context, and the cgroups libvirt made for guests are removed.
    """
    others = cgroups_named(LIBVIRT_CGROUP)
    shared.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo:
        undo.callback(_remove_new_cgroups, others)
        outer = undo.enter_context(
            _started([*_prefix(shared, is_first=is_first), *program], shared, environment or {})
        )
        undo.callback(outer.kill)
        first = eventually(lambda: _child_of(outer), f"a first process of {program}")
        undo.callback(_await_end, os.pidfd_open(first), outer)
        namespaces = Namespaces(outer, first, shared)
        try:
            yield namespaces
        except (AssertionError, subprocess.TimeoutExpired) as error:
            error.add_note(f"The program printed:\n{namespaces.output[-4000:]}")
            raise


def _prefix(shared: Path, *, is_first: bool) -> list[str]:
    """Return what makes the namespaces, to be put before the program's line.

    The kernel kills the first process when unshare dies, and everybody else when that does.
    """
    unshare = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
    loopback = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    init = [sys.executable, "-I", "-S", str(INIT), str(shared / "report")]
    init = [] if is_first else init
    return [*unshare, str(PRIVATE_LIBVIRT), str(shared), *loopback, *init]


def _started(
    command: list[str], shared: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    with (shared / "output").open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            cwd="/",
        )


def _child_of(parent: subprocess.Popen[bytes]) -> int:
    assert parent.poll() is None, "the namespaces could not be made"
    children = text_of(Path(f"/proc/{parent.pid}/task/{parent.pid}/children")).split()
    return int(children[0]) if children else 0


def _await_end(first: int, outer: subprocess.Popen[bytes]) -> None:
    """Kill the namespaces' first process with unshare, and return when it is gone."""
    outer.kill()
    select.select([first], [], [], COMMAND_SECONDS)
    with suppress(ChildProcessError):  # ours to reap only where this process inherits orphans
        os.waitid(os.P_PIDFD, first, os.WEXITED | os.WNOHANG)
    os.close(first)


def cgroups_named(name: str) -> list[Path]:
    """Return the cgroups of that name at the top of each hierarchy, or just below it."""
    tops = (CGROUPS, *CGROUPS.glob("*/"))
    return [top / name for top in tops if (top / name).is_dir()]


def _remove_new_cgroups(others: list[Path]) -> None:
    for tree in set(cgroups_named(LIBVIRT_CGROUP)) - set(others):
        remove_cgroup(tree)


def remove_cgroup(tree: Path) -> None:
    """Remove the cgroup and those below it, as far as nobody lives in them."""
    for directory, _, _ in os.walk(tree, topdown=False):
        with suppress(OSError):
            Path(directory).rmdir()
