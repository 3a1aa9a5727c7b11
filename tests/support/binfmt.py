"""A binfmt_misc of its own for a test: that of a new user namespace, which needs no root."""

import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
DIRECTORY = Path("/proc/sys/fs/binfmt_misc")
COMMAND_SECONDS = 30.0
_USERS = 2**32 - 1
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
def private_kernel(
    *, is_mounted: bool = True, user: int | None = None, has_all_users: bool = False
) -> Iterator[Kernel]:
    """Give a test a user and mount namespace, with its own table unless told otherwise.

    It is made by `user`, if that is not who runs the tests, and has no users but root, unless it
    `has_all_users`.
    """
    script = _HOLDER if is_mounted else _EMPTY_HOLDER
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    if has_all_users:
        command = [
            "unshare",
            "--user",
            "sh",
            "-c",
            'echo made && read _ && exec "$@"',
            "sh",
            *command,
        ]
    else:
        command = ["unshare", "--user", "--map-root-user", *command[1:]]
    if user is not None:
        command = [*opened(CHECKOUT, Path(sys.base_prefix)), *as_user(user), *command]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        if has_all_users:
            assert holder.stdout.readline(), "no user namespace can be made here"
            for kind in ("uid_map", "gid_map"):
                Path(f"/proc/{holder.pid}/{kind}").write_text(f"0 0 {_USERS}\n")
            holder.stdin.write(b"\n")
            holder.stdin.flush()
        assert holder.stdout.readline(), "no user namespace can be made here"
        yield Kernel(holder.pid, user)
    finally:
        holder.stdin.close()
        holder.wait(timeout=COMMAND_SECONDS)
        holder.stdout.close()


def opened(*directories: Path) -> list[str]:
    """Return what runs a command where all users can reach these directories.

    What lies above them, and is closed, has nothing else in it there: a mount namespace of its own.
    """
    closed = {path: _closed_above(path) for path in directories}
    if not any(closed.values()):
        return []
    lines = ["mount -t tmpfs none /mnt"]
    for number, path in enumerate(directories):
        lines += [f"mkdir /mnt/{number}", f"mount --bind {shlex.quote(str(path))} /mnt/{number}"]
    for above in sorted({above for above in closed.values() if above is not None}):
        lines.append(f"mount -t tmpfs -o mode=755 none {shlex.quote(str(above))}")
    for number, path in enumerate(directories):
        if closed[path] is not None:
            place = shlex.quote(str(path))
            lines += [f"mkdir -p {place}", f"mount --move /mnt/{number} {place}"]
    lines += ["umount --recursive /mnt", 'exec "$@"']
    return ["unshare", "--mount", "sh", "-ec", "\n".join(lines), "sh"]


def _closed_above(path: Path) -> Path | None:
    """Return the highest directory above a path that others may not pass, None if there is none."""
    above = reversed(path.parents)
    return next((one for one in above if not one.stat().st_mode & stat.S_IXOTH), None)


def as_user(user: int | None) -> list[str]:
    """Return what runs a command as another user, without any rights; None is who runs the tests."""
    if user is None:
        return []
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
