"""Becomes itself again, with what a virtsupd holds, and says what it sees.

Each line of standard input is a command; its words after the first are signals and events that come
in the window in which they could be lost. Argument: a directory of its own.
"""

import fcntl
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio

from virtsupd.core.spec import LogSpec, ProcessSpec, SocketSpec
from virtsupd.errors import ReexecError
from virtsupd.process.activation import ListeningSockets
from virtsupd.process.lock import RunLock, StateLock
from virtsupd.process.notify import NotifySocket
from virtsupd.process.plan import plan_process
from virtsupd.process.reaper import Reaper
from virtsupd.process.reexec import Handover, execute, received, signals_held, unblock_signals
from virtsupd.process.signals import handling
from virtsupd.process.spawn import best_spawner

DIRECTORY = Path(sys.argv[1])
SPECS = (
    SocketSpec(name="web", listen=str(DIRECTORY / "web.sock")),
    SocketSpec(name="web", listen=str(DIRECTORY / "log.sock"), type="datagram"),
)


def say(*words: object) -> None:
    """Tell the test."""
    print(*words, flush=True)  # noqa: T201


class Supervisor:
    """What there is of a virtsupd, new or of the program before."""

    def __init__(self, reaper: Reaper, handover: Handover | None) -> None:
        handed: Mapping[str, int] = handover.descriptors if handover else {}
        facts: Mapping[str, Any] = handover.facts if handover else {"life": 0}
        self.life = facts["life"] + 1
        self.lock = RunLock(DIRECTORY / "lock", inherited=handed.get("lock"))
        self.state = StateLock(DIRECTORY, inherited=handed.get("state"))
        self.notify = NotifySocket(
            DIRECTORY / "notify",
            on_message=lambda message: say("notify", self.life, message.fields["STATUS"]),
            inherited=handed.get("notify"),
        )
        self.sockets = ListeningSockets()
        if handover is not None:
            numbers = {name[7:]: n for name, n in handed.items() if name.startswith("socket:")}
            assert self.sockets.inherit(SPECS, numbers) == ()
        self.sockets.open_all(SPECS)
        self.child = facts["child"] if handover else self.spawn()
        reaper.watch(self.child, lambda status: say("child", self.life, status))

    def spawn(self) -> int:
        """Make the one child."""
        spec = ProcessSpec(command=("/bin/sleep", "1000"), log=LogSpec(""))
        plan = plan_process(spec, extra_environment={}, descriptors=(0, 1, 2), cgroup_fd=None)
        return best_spawner().spawn(plan).pid

    def handed(self) -> dict[str, int]:
        """Name what is to be inherited."""
        sockets = {f"socket:{name}": number for name, number in self.sockets.handed().items()}
        return {
            "lock": self.lock.fileno(),
            "state": self.state.fileno(),
            "notify": self.notify.fileno(),
            **sockets,
        }

    async def obey(self, word: str, *events: str) -> None:
        """Carry out a command."""
        match word:
            case "exec":
                await self.become(sys.executable, __file__, events)
            case "fail":
                await self.become(str(DIRECTORY / "missing"), "", events)
            case "accept":
                say("accepted", self.accept())
            case "look":
                inherited = [name for name, n in self.handed().items() if os.get_inheritable(n)]
                masked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
                variable = "VIRTSUPD_HANDOVER" in os.environ
                say("sees", len(inherited), len(masked), variable, open_descriptors())
            case _:
                raise ValueError(word)

    async def become(self, program: str, script: str, events: tuple[str, ...]) -> None:
        command = (program, script, str(DIRECTORY))
        facts = {"life": self.life, "child": self.child}
        if "caught" in events:
            os.kill(os.getpid(), signal.SIGTERM)
        try:
            with thread_at_work("thread" in events):
                async with signals_held() as mask:
                    if "TERM" in events:
                        os.kill(os.getpid(), signal.SIGTERM)
                    if "CHLD" in events:
                        os.kill(self.child, signal.SIGTERM)
                        os.waitid(os.P_PID, self.child, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - at once
                    execute(command, self.handed(), facts, mask)
        except ReexecError as error:
            say("failed", error)

    def accept(self) -> int:
        """Answer everybody who waits."""
        count = 0
        with socket.socket(fileno=os.dup(self.sockets.descriptors[0])) as listener:
            fcntl.fcntl(listener, fcntl.F_SETFL, os.O_NONBLOCK)
            while True:
                try:
                    client, _ = listener.accept()
                except BlockingIOError:
                    return count
                with client:
                    client.setblocking(True)
                    client.sendall(client.recv(10))
                count += 1


@contextmanager
def thread_at_work(is_wanted: bool) -> Any:
    """Have a thread that takes signals."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="writer")
    if is_wanted:
        thread.start()
    try:
        yield
    finally:
        end.set()


def open_descriptors() -> int:
    """Count what is open, apart from the look itself."""
    return len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208


async def main() -> None:
    """Obey until the input ends."""
    handover = received()
    reaper = Reaper()
    with handling({"SIGTERM": lambda: say("TERM", supervisor.life)}):
        supervisor = Supervisor(reaper, handover)
        say("begun", supervisor.life, os.getpid(), supervisor.child)
        if handover is not None:
            unblock_signals(handover.signal_mask)
        async with reaper.running():
            while True:
                await anyio.wait_readable(0)
                line = os.read(0, 1000).decode()
                if not line:
                    with suppress(ProcessLookupError):
                        os.kill(supervisor.child, signal.SIGKILL)
                    return
                await supervisor.obey(*line.split())


anyio.run(main)
