"""A private host on which virtsupd is installed under some init system, and those systems' programs."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.checks import eventually, text_of
from tests.support.namespaces import CHECKOUT, Namespaces, isolated, remove_cgroup

from virtsupd.process.cgroup import place_of

PACKAGING = CHECKOUT / "packaging"
STAGE = CHECKOUT / "tests/support/init_system.sh"
CACHE = CHECKOUT / ".cache/init-systems"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_SERVICE = """
[service.{name}]
requires = {requires}
command = ["/bin/sh", "-c", '''
trap "echo {name} >>{file}; sleep {lag}; exit 0" TERM
while :; do sleep 1000 & wait $!; done''']
"""


def programs(*packages: str) -> Path:
    """Return a directory with these Debian packages unpacked, and nothing of them installed.

    They are fetched once for the checkout. Everything is below usr/ but configuration.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    root = CACHE / "+".join(packages)
    with (CACHE / "lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        if not root.exists():
            _unpack(packages, root)
    return root


def _unpack(packages: Sequence[str], root: Path) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as made:
        debs, tree = Path(made) / "debs", Path(made) / "root"
        debs.mkdir()
        _quietly("apt-get", "-q", "download", *packages, directory=debs)
        for deb in debs.iterdir():
            _quietly("dpkg", "-x", str(deb), str(tree))
        for name in ("bin", "sbin", "lib"):
            if (tree / name).is_dir():
                shutil.copytree(tree / name, tree / "usr" / name, dirs_exist_ok=True, symlinks=True)
        tree.rename(root)


def _quietly(*command: str, directory: Path | None = None) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@dataclass(frozen=True, slots=True)
class PrivateHost:
    """The host, with the services `back` and `front`, which requires it."""

    inside: Namespaces
    ended_file: Path

    @property
    def ended(self) -> list[str]:
        """The services that were told to end, in the order in which they did."""
        return text_of(self.ended_file).split()

    def run(self, line: str, *, expect: int = 0) -> str:
        """Run a line of shell and return what it printed; its exit status has to be `expect`."""
        done = self.inside.run("env", "-i", f"PATH={PATH}", "sh", "-c", line, is_ok=False)
        printed = done.stdout + done.stderr
        assert done.returncode == expect, f"{line}: {done.returncode}, {printed}"
        return printed

    def await_said(self, expected: str) -> None:
        """Wait until the host's first program has printed this."""
        eventually(lambda: expected in self.inside.output, expected)

    def answers(self) -> bool:
        """Whether virtsupd answers on its socket and both services run."""
        line = "virtsupctl --timeout 5s status front back"
        done = self.inside.run("env", "-i", f"PATH={PATH}", "sh", "-c", line, is_ok=False)
        return done.returncode == 0

    def await_services(self) -> None:
        """Wait until both services run."""
        eventually(self.answers, f"both services\n{self.inside.output}")

    def daemon(self) -> int | None:
        """Return the pid that virtsupd left in its lock file, None if there is no such file."""
        text = text_of(self.inside.root / "run/virtsupd/lock").strip()
        return int(text) if text else None

    def lives(self) -> dict[int, str]:
        """Return the pids of both services, each with when its process started."""
        status = json.loads(self.run("virtsupctl --json status front back"))
        starts = {s["pid"]: self.inside.start_time(s["pid"]) for s in status["services"]}
        return {pid: start for pid, start in starts.items() if start is not None}

    def are_alive(self, lives: dict[int, str]) -> bool:
        """Whether these two processes are still those they were, and were not told to end."""
        same = all(self.inside.start_time(pid) == start for pid, start in lives.items())
        return len(lives) == 2 and same and not self.ended


@contextmanager
def private_host(
    init: str,
    command: Sequence[str],
    *,
    shared: Path,
    over: Path = Path("/nonexistent"),
    is_first: bool = False,
    lag_seconds: float = 0,
) -> Iterator[PrivateHost]:
    """Run `command` where virtsupd is installed for `init`; end all of it afterwards.

    `over` is what `programs` returned. `is_first` makes the command the first process of the host.
    `lag_seconds` is how long each service takes to end.
    """
    base = place_of(os.getpid())
    assert base is not None, "no cgroup v2 here"
    cgroup = base / f"virtsupd-test-{os.urandom(6).hex()}"
    ended = shared / "ended"
    host_file = shared / "host.toml"
    host_file.write_text(
        f'[host]\nstate_dir = "/run/virtsupd-state"\n'
        f"{_SERVICE.format(name='back', requires=[], file=ended, lag=lag_seconds)}"
        f"{_SERVICE.format(name='front', requires=['back'], file=ended, lag=lag_seconds)}"
    )
    environment = {"HOST_FILE": str(host_file), "PATH": PATH}
    line = [str(STAGE), str(cgroup), sys.executable, str(over), init, *command]
    cgroup.mkdir()
    try:
        with isolated(line, shared=shared, environment=environment, is_first=is_first) as inside:
            yield PrivateHost(inside, ended)
    finally:
        remove_cgroup(cgroup)
