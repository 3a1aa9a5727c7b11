"""A real virtsupd in a directory of its own, and the client library on its socket."""

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.checks import eventually, text_of

from virtsupd.control.client import Client
from virtsupd.process.cgroup import Cgroup, place_of

CHECKOUT = Path(__file__).resolve().parents[2]
CHILDREN = CHECKOUT / "tests/children"
PROGRAM = (sys.executable, "-m", "virtsupd.cli.virtsupd")
CLIENT = (
    sys.executable,
    "-c",
    "import sys; from virtsupd.cli.virtsupctl import main; sys.exit(main())",
)
PYTHON = "/usr/bin/python3"
"""For children of other users too, whom the virtual environment may be closed to."""
SECONDS = 10.0
"""Within which every fact has to hold that a test waits for."""

Json = dict[str, Any]


@dataclass(slots=True)
class Host:
    """The directories of one virtsupd; one after another may run in them."""

    root: Path
    settings: str = ""
    """More lines of `[host]`."""
    prefix: Sequence[str] = ()
    """Put before the program: unshare, prlimit …"""
    environment: Mapping[str, str] = field(default_factory=dict)
    program: Sequence[str] = PROGRAM
    daemons: "list[Daemon]" = field(default_factory=list)

    @property
    def config(self) -> Path:
        """The host file."""
        return self.root / "host.toml"

    @property
    def run_dir(self) -> Path:
        """Its run directory."""
        return self.root / "run"

    @property
    def state_file(self) -> Path:
        """Where it remembers what was asked of it."""
        return self.root / "state/services.json"

    @property
    def socket(self) -> Path:
        """The control socket."""
        return self.run_dir / "control"

    def write(self, services: str) -> None:
        """Write the host file: `services` after the `[host]` table."""
        table = (
            f'[host]\nrun_dir = "{self.run_dir}"\nstate_dir = "{self.root}/state"\n'
            f'log_dir = "{self.root}/log"\nunit_dirs = ["{self.root}/units"]\n{self.settings}\n'
        )
        self.config.write_text(table + services)

    def log(self, name: str) -> str:
        """Return what a service has printed so far."""
        return text_of(self.root / f"log/{name}.log")

    def await_log(self, name: str, expected: str) -> str:
        """Return a service's log once it holds `expected`.

        Raises:
            AssertionError: it never did; the message shows what it holds.
        """
        try:
            return eventually(lambda: _holding(self.log(name), expected), expected)
        except AssertionError as error:
            raise AssertionError(f"{error}; the log of {name}: {self.log(name)!r}") from error

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run virtsupd to its end, where that comes by itself."""
        return subprocess.run(
            [*self.prefix, *self.program, "--config", str(self.config), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            cwd="/",
        )

    @contextmanager
    def started(self, **options: Any) -> "Iterator[Daemon]":
        """Yield a virtsupd that is ready; it is ended with `shutdown` if the test has not."""
        with Daemon.started(self, **options) as daemon:
            self.daemons.append(daemon)
            try:
                yield daemon
            except BaseException as error:
                error.add_note(f"virtsupd said:\n{daemon.output[-6000:]}")
                raise
            if daemon.is_running:
                daemon.shutdown()

    def cgroup(self) -> Cgroup | None:
        """Return the cgroup of all its services, if there are cgroups here."""
        base = place_of(os.getpid())
        name = re.search(r'^cgroup = "(.*)"$', self.settings, re.MULTILINE)
        return Cgroup(base / name[1]) if base is not None and name is not None else None


@dataclass(slots=True)
class Daemon:
    """A running virtsupd."""

    host: Host
    process: subprocess.Popen[bytes]
    output_file: Path
    said: list[str] = field(default_factory=list)
    """What it told the program that started it (sd_notify)."""

    @classmethod
    @contextmanager
    def started(
        cls,
        host: Host,
        *,
        terminal: int | None = None,
        environment: Mapping[str, str] | None = None,
        until: str = "READY=1",
    ) -> "Iterator[Daemon]":
        """Start it and wait until it says READY=1; kill it in the end if it is still there.

        `terminal` becomes its controlling terminal, and it runs in the foreground of that.
        """
        output = host.root / f"virtsupd.{len(host.daemons)}.out"
        with ExitStack() as stack:
            notify = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            # A file, for an abstract name would not be known in other network namespaces.
            heard_at = host.root / f"notify.{os.urandom(8).hex()}"
            notify.bind(str(heard_at))
            heard_at.chmod(0o666)
            own = {"NOTIFY_SOCKET": str(heard_at)}
            log = stack.enter_context(output.open("wb"))
            process = subprocess.Popen(
                [
                    *host.prefix,
                    *_in_terminal(terminal),
                    *host.program,
                    "--config",
                    str(host.config),
                ],
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=log if terminal is None else terminal,
                stderr=log if terminal is None else terminal,
                env=os.environ | own | dict(host.environment) | dict(environment or {}),
                cwd="/",
                start_new_session=True,
            )
            stack.callback(process.wait, SECONDS)
            stack.callback(process.kill)
            daemon = cls(host, process, output)
            daemon.await_said(notify, until)
            stack.callback(lambda: daemon.said.extend(_rest(notify)))
            yield daemon

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return text_of(self.output_file)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def client(self) -> Client:
        """A new client of its socket."""
        return Client(str(self.host.socket), SECONDS)

    def await_said(self, notify: socket.socket, expected: str) -> None:
        """Take its messages until one holds `expected`."""

        def has_come() -> bool:
            self.said.extend(_rest(notify))
            return any(expected in message for message in self.said) or not self.is_running

        eventually(has_come, expected)
        assert self.is_running, f"virtsupd ended:\n{self.output}"

    def events(self, event: str, **facts: object) -> list[Json]:
        """Return the lines of its JSON log that tell of this event with these facts."""
        lines = [line for line in self.output.splitlines() if line.startswith("{")]
        found = [entry for entry in map(json.loads, lines) if entry["event"] == event]
        return [entry for entry in found if entry.items() >= facts.items()]

    def await_event(self, event: str, *, count: int = 1, **facts: object) -> list[Json]:
        """Return these lines once there are `count` of them."""

        def enough() -> list[Json]:
            found = self.events(event, **facts)
            return found if len(found) >= count else []

        return eventually(enough, f"{count} of {event} {facts}")

    def call(self, method: str, **parameters: Any) -> Json:
        """Call a method of its socket."""
        with self.client as client:
            return client.call(method, parameters)

    def status(self, name: str) -> Json:
        """Return all that is known of a service."""
        services = self.call("Status", names=[name])["services"]
        assert isinstance(services, list)
        return dict(services[0])

    def state(self, name: str) -> str:
        """Return the state of a service."""
        return str(self.status(name)["state"])

    def pid(self, name: str) -> int:
        """Return the pid of a service that has a process."""
        pid = self.status(name)["pid"]
        assert isinstance(pid, int), self.status(name)
        return pid

    def reason(self, name: str) -> str:
        """Return why a service is as it is, "" if there is nothing to say."""
        found = self.status(name)["reason"]
        return found["text"] if found else ""

    def await_status(
        self,
        name: str,
        holds: Callable[[Json], object],
        what: str,
        *,
        seconds: float = SECONDS,
    ) -> Json:
        """Return a service's status once `holds` of it, waiting for changes.

        Raises:
            AssertionError: it never did; the message shows the last status.
        """

        def look() -> Json | None:
            found = self.status(name)
            return found if holds(found) else None

        try:
            return eventually(look, what, seconds=seconds) or {}
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.status(name)}") from error

    def await_state(self, name: str, state: str) -> Json:
        """Return a service's status once it is in this state."""
        return self.await_status(name, lambda s: s["state"] == state, f"{name} {state}")

    def ask(self, verb: str, *names: str) -> tuple[str, str]:
        """Carry out a command on services; return result and message of the first report."""
        answer = self.call(verb, names=list(names))
        report = answer["reports"][0]
        return report["result"], report["message"]

    def ctl(self, *words: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run virtsupctl to its end; its exit code has to be `expect`."""
        done = subprocess.run(
            [*CLIENT, "--socket", str(self.host.socket), *words],
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert expect in (None, done.returncode), f"{words}: {done.stdout}{done.stderr}"
        return done

    def signal(self, name: str) -> None:
        """Send it a signal ("TERM")."""
        self.process.send_signal(signal.Signals[f"SIG{name}"])

    def wait(self) -> int:
        """Return its exit code once it has ended."""
        return self.process.wait(SECONDS)

    def shutdown(self) -> None:
        """End it and all its services."""
        self.call("Shutdown")
        assert self.wait() == 0

    def quit(self) -> None:
        """End it alone."""
        self.call("Quit")
        assert self.wait() == 0

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.wait(SECONDS)


@contextmanager
def host(services: str = "", **options: Any) -> Iterator[Host]:
    """Yield directories for a virtsupd with these services; nothing may be left of it in the end.

    What may be left deliberately (by `quit` or a kill) the test ends with `end_all`.
    """
    # Not below the test run's own directory, which only root may enter.
    root = Path(tempfile.mkdtemp(prefix="vs-", dir="/tmp"))
    root.chmod(0o755)
    name = f"virtsupd-test-{os.urandom(6).hex()}"
    settings = f'cgroup = "{name}"\n' + options.pop("settings", "")
    made = Host(root, settings=settings, **options)
    made.write(services)
    try:
        yield made
    except BaseException:
        end_all(made)
        raise
    else:
        left = leftovers(made)
        end_all(made)
        assert not left, f"left behind: {left}"
    finally:
        shutil.rmtree(root)


@contextmanager
def virtsupd(services: str = "", **options: Any) -> Iterator[Daemon]:
    """Yield a virtsupd with these services; it ends with a shutdown, and nothing may be left."""
    with host(services, **options) as made, made.started() as daemon:
        yield daemon


def leftovers(made: Host) -> list[str]:
    """Return, in words, what is left of a virtsupd that has ended."""
    cgroup = made.cgroup()
    found = [f"process {pid}" for pid in pids_of(made)]
    if cgroup is not None and cgroup.path.exists():
        found.append(f"cgroup {cgroup.path}")
    found += [str(path) for path in sorted(made.run_dir.rglob("*"))]
    return found


def pids_of(made: Host) -> list[int]:
    """Return every process of this virtsupd, with or without cgroups.

    It is in its cgroup, has its directory on the command line, or has its output there. The test's
    own process is none of them.
    """
    cgroup = made.cgroup()
    found = set(cgroup.pids()) if cgroup is not None else set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                if str(made.root).encode() in words or _writes_below(entry, made.root):
                    found.add(int(entry.name))
    return sorted(found - {os.getpid()})


def _writes_below(process: Path, root: Path) -> bool:
    return (process / "fd/1").readlink().is_relative_to(root)


def end_all(made: Host) -> None:
    """End every process of this virtsupd and remove its cgroups."""
    for pid in pids_of(made):
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            if pid in pids_of(made):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
    eventually(lambda: not pids_of(made), "the end of all processes")
    cgroup = made.cgroup()
    if cgroup is not None:
        eventually(cgroup.remove, "an empty cgroup")


def python(script: str, *arguments: str) -> str:
    """Return the TOML list of a command that runs a script of tests/children, as any user."""
    text = (CHILDREN / script).read_text()
    return json.dumps([PYTHON, "-I", "-S", "-c", text, *arguments])


def shell(line: str) -> str:
    """Return the TOML list of a command that runs a line of shell."""
    return json.dumps(["/bin/sh", "-c", line])


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Yield both ends of a pseudo terminal: ours, and the program's."""
    ours, programs = pty.openpty()
    try:
        yield ours, programs
    finally:
        os.close(ours)
        os.close(programs)


def _holding(text: str, expected: str) -> str:
    return text if expected in text else ""


def _in_terminal(terminal: int | None) -> list[str]:
    """Return what makes standard input the controlling terminal: a new session begins there."""
    return [] if terminal is None else ["setsid", "--ctty", "--wait"]


def _rest(notify: socket.socket) -> Iterator[str]:
    notify.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            yield notify.recv(4096).decode()
