"""virtsupd with `[qemu_binfmt]`, run by an ordinary user in a user namespace, and its clients there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.binfmt import DIRECTORY, Kernel, private_kernel
from tests.support.checks import eventually
from tests.support.daemon import CLIENT, Daemon, Host, host
from tests.support.real_herd import herd_program

USER = 65534
SERVICE = "qemu-binfmt"
MOUNT = "file-system-/proc/sys/fs/binfmt_misc"


@dataclass(frozen=True, slots=True)
class BinfmtHost:
    """A virtsupd of the user's, and the namespace in which it runs."""

    kernel: Kernel
    host: Host

    def write(self, *platforms: str, more: str = "") -> None:
        """Write the host file."""
        self.host.write(table(platforms) + more)

    @contextmanager
    def started(self) -> Iterator[Daemon]:
        """Yield a virtsupd that is ready; it is ended with `shutdown` if the test has not."""
        with self.host.started() as daemon:
            yield daemon
            if daemon.is_running:
                self.ctl("shutdown")  # root is nobody in the user's namespace
                assert daemon.wait() == 0

    def ctl(self, *words: str, is_ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run virtsupctl to its end, as the user."""
        return self.kernel.run(*CLIENT, "--socket", str(self.host.socket), *words, is_ok=is_ok)

    def herd(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the stock herd to its end, as the user."""
        plain = ("env", "LC_ALL=C.UTF-8", "TZ=UTC")
        return self.kernel.run(*plain, str(herd_program()), "-s", str(self.host.socket), *words)

    def status(self, name: str = SERVICE) -> dict[str, Any]:
        """Return all that is known of a service."""
        [found] = json.loads(self.ctl("status", "--json", name, is_ok=False).stdout)["services"]
        return dict(found)

    def says(self, expected: str) -> str:
        """Return what the service says of itself once it holds `expected`."""

        def look() -> str:
            said = str(self.status()["status_text"])
            return said if expected in said else ""

        return eventually(look, f"{SERVICE} says {expected!r}: {self.status()['status_text']}")

    def pid(self) -> int:
        """Return the pid of the process that holds the entries."""
        return int(self.status()["pid"])

    def entries(self) -> dict[str, str]:
        """Return the entries there are, each with what tells it from another one of its name."""
        script = f"cd {DIRECTORY} && stat -c '%n %i' *"
        lines = self.kernel.run("sh", "-c", script).stdout.splitlines()
        found = dict(line.split() for line in lines)
        return {name: found[name] for name in found if name not in ("register", "status")}

    def ended_with(self, program: Path) -> int:
        """Run a program as the user and return how it ended; 126 if the kernel does not run it."""
        execute = "import os, sys\ntry: os.execv(sys.argv[1], sys.argv[1:])\nexcept OSError: sys.exit(126)"
        return self.kernel.python("-I", "-c", execute, str(program), is_ok=False).returncode

    def flush(self) -> None:
        """Do what other tools do."""
        self.kernel.run("sh", "-c", f"echo -1 >{DIRECTORY}/status")

    def mounts(self) -> int:
        """Return how often the table is mounted in the namespace."""
        lines = self.kernel.run("cat", "/proc/self/mountinfo").stdout.splitlines()
        return sum(" - binfmt_misc " in line for line in lines)

    @contextmanager
    def executing(self, program: Path, status: int) -> Iterator[None]:
        """Execute a program again and again meanwhile; it has to end with `status` each time.

        Raises:
            AssertionError: it did not.
        """
        loop = (
            "import os, select, sys\ntimes = 0\n"
            "while not select.select([0], [], [], 0)[0]:\n"
            "    pid = os.posix_spawn(sys.argv[1], sys.argv[1:], {},\n"
            "        file_actions=[(os.POSIX_SPAWN_OPEN, 0, '/dev/null', os.O_RDONLY, 0),\n"
            "                      (os.POSIX_SPAWN_OPEN, 1, '/dev/null', os.O_WRONLY, 0)])\n"
            "    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
            "    assert code == int(os.environ['EXPECTED']), (code, times)\n"
            "    times += 1\n"
            "print(times)\n"
        )
        running = subprocess.Popen(
            self.kernel.enter(sys.executable, "-I", "-c", loop, str(program)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_unmeasured() | {"EXPECTED": str(status)},
        )
        try:
            yield
        finally:
            said, _ = running.communicate(timeout=20)
        assert running.returncode == 0, said
        assert int(said) > 1, "it has been executed more than once"


def _unmeasured() -> dict[str, str]:
    """The environment without what makes a Python measure its coverage: this user cannot write that."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def table(platforms: Sequence[str]) -> str:
    """Return the table of the host file; the service is not started with virtsupd."""
    return f"[qemu_binfmt]\nautostart = false\nplatforms = {json.dumps(list(platforms))}\n"


@contextmanager
def binfmt_host(*platforms: str, is_mounted: bool = False) -> Iterator[BinfmtHost]:
    """Give a test the directories for a virtsupd of an ordinary user; nothing may be left of it."""
    with (
        private_kernel(is_mounted=is_mounted, user=USER) as kernel,
        host(table(platforms), prefix=kernel.enter()) as made,
    ):
        for path in (made.root, made.config):
            os.chown(path, USER, USER)
        yield BinfmtHost(kernel, made)
