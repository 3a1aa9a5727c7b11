"""A binfmt_misc of its own for a test: that of a new user namespace, which needs no root."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DIRECTORY = Path("/proc/sys/fs/binfmt_misc")
COMMAND_SECONDS = 30.0
_HOLDER = (
    f"mount -t binfmt_misc none {DIRECTORY} && echo mounted && exec cat >/dev/null"  # until our end
)
_EMPTY_HOLDER = "echo ready && exec cat >/dev/null"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A namespace with its own table; `pid` is the process that keeps it.

    With `user` it was made by that user, who is root in it, and who runs all commands.
    """

    pid: int
    user: int | None = None

    @property
    def table(self) -> Path:
        """The table, for those outside who may look (its owner and root)."""
        return Path(f"/proc/{self.pid}/root") / DIRECTORY.relative_to("/")

    def enter(self, *command: str) -> list[str]:
        """Return the command that runs another inside."""
        enter = [
            "nsenter",
            "--target",
            str(self.pid),
            "--user",
            "--mount",
            "--preserve-credentials",
        ]
        return [*as_user(self.user), *enter, "--wd", "--", *command]

    def run(
        self, *command: str, is_ok: bool = True, seconds: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and wait for its end.

        Raises:
            AssertionError: it failed although `is_ok`.
        """
        done = subprocess.run(
            self.enter(*command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        assert not is_ok or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def register(self, line: bytes) -> None:
        """Enter something, by the line that the kernel is to read."""
        script = f"printf '%s' \"$0\" >{DIRECTORY}/register"
        self.run("sh", "-c", script, line.decode())

    def python(self, *arguments: str, is_ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run this Python inside."""
        return self.run(sys.executable, *arguments, is_ok=is_ok)


@contextmanager
def private_kernel(*, is_mounted: bool = True, user: int | None = None) -> Iterator[Kernel]:
    """Give a test a user and mount namespace, with its own table unless told otherwise.

    It is made by `user`, if that is not who runs the tests.
    """
    script = _HOLDER if is_mounted else _EMPTY_HOLDER
    command = [*as_user(user), "unshare", "--user", "--map-root-user", "--mount"]
    command += ["--propagation", "private"]
    holder = subprocess.Popen(
        [*command, "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline(), "no user namespace can be made here"
        yield Kernel(holder.pid, user)
    finally:
        holder.stdin.close()
        holder.wait(timeout=COMMAND_SECONDS)
        holder.stdout.close()


def as_user(user: int | None) -> list[str]:
    """Return what runs a command as another user, without any rights; None is who runs the tests."""
    if user is None:
        return []
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
