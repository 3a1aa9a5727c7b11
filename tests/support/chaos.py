"""Does random things to a virtsupd and its services, and sees whether all agrees afterwards."""

import json
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any

from tests.support.chaos_host import (
    EXTRAS,
    Sort,
    closure,
    configuration,
    rivals,
    sorts,
)
from tests.support.chaos_judge import disagreements, guests_of, lives_at, statuses_of, under_way
from tests.support.chaos_touch import Mark, Touched, marks_of, needless
from tests.support.checks import eventually
from tests.support.daemon import CHILDREN, PYTHON, Daemon, Host, Json
from tests.support.ending import keeper_of, kill_and_wait

from virtsupd.control.client import Client
from virtsupd.errors import VirtsupdError
from virtsupd.process.lives import Life, life_of

SETTLE_SECONDS = 30.0
DEEP_SECONDS = 0.25
"""Within which most starts and stops are over."""
WEIGHTS = {
    "start": 18,
    "stop": 16,
    "restart": 12,
    "hup": 4,
    "connect": 5,
    "kill": 20,
    "crash": 6,
    "deep": 8,
    "enable": 4,
    "disable": 3,
    "quit": 2,
    "reexec": 5,
    "keeper": 5,
    "reconfigure": 6,
}
COMMANDS = {"start", "stop", "restart", "enable", "disable"}
ENDS = {"crash", "deep", "quit", "reexec"}
"""May come before the answer to a command."""


@dataclass(slots=True)
class Chaos:
    """One virtsupd after another with the services of `chaos_host`, and what was asked of them."""

    made: Host
    random: random.Random
    sorts: Mapping[str, Sort]
    possible: dict[str, set[bool]]
    """What may be wanted, by the commands so far: two values where it depends on which came last."""
    able: dict[str, set[bool]]
    """What may be enabled, likewise."""
    bystanders: dict[int, Life] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    """Every operation, for who looks into a failure."""
    counts: Counter[str] = field(default_factory=Counter)
    _daemon: Daemon | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _threads: list[Thread] = field(default_factory=list)
    _extras: tuple[str, ...] = ()
    _changed: dict[str, int] = field(default_factory=dict)
    _disabled: set[str] = field(default_factory=set)
    """What was disabled last, whatever became of it: the operations depend on the seed alone."""
    _outdated: set[str] = field(default_factory=set)
    """One-shots that were done by an older definition, perhaps: they run again once they are needed."""
    _marks: dict[str, Mark] = field(default_factory=dict)
    _touched: Touched = field(default_factory=Touched)
    _results: set[str] = field(default_factory=set)

    @classmethod
    @contextmanager
    def begun(cls, made: Host, seed: int) -> "Iterator[Chaos]":
        """Start all services and some bystanders; in the end, shut all down.

        Raises:
            AssertionError: a bystander or a guest was signalled; what was done is added to any error.
        """
        (made.root / "guests").mkdir(mode=0o777)
        known = sorts(made.root)
        wanted = {name: {name != "blue"} for name in known}
        chaos = cls(made, random.Random(seed), known, wanted, {name: {True} for name in known})
        try:
            chaos._configure()
            chaos._launch()
            chaos.settle()
            with chaos._bystanders():
                yield chaos
                chaos.settle()
                chaos.assert_unharmed()
                chaos.end_guests()
            chaos.end()
        except BaseException as error:
            error.add_note("done so far: " + "; ".join(chaos.done))
            error.add_note(f"virtsupd said:\n{chaos.daemon.output[-8000:]}")
            chaos.daemon.kill()
            chaos._stack.close()
            raise

    def end(self) -> None:
        """Shut all down, after a last look through virtsupctl; no socket of a service may be left."""
        shown = json.loads(self.daemon.ctl("--json", "status").stdout)["services"]
        assert {service["name"]: service for service in shown} == self.statuses()
        self.daemon.shutdown()
        self._stack.close()
        left = [
            path for sort in self.sorts.values() for path in sort.sockets if Path(path).exists()
        ]
        assert not left, f"left behind: {left}"

    @property
    def daemon(self) -> Daemon:
        """The virtsupd of the moment."""
        assert self._daemon is not None
        return self._daemon

    def suffer(self, operations: int) -> None:
        """Do that many operations, some at once; after each burst all has to settle and agree."""
        while operations > 0:
            burst = min(operations, self.random.choice((1, 1, 2, 3, 5)))
            before = [deepcopy(self.possible), deepcopy(self.able)]
            self._results.clear()
            kinds = self.random.choices([*WEIGHTS], [*WEIGHTS.values()], k=burst)
            for kind in kinds:
                self._operate(kind)
            self._join()
            if sum(kind in COMMANDS for kind in kinds) == 1 and not ENDS.intersection(kinds):
                self._take_for_granted(*before)
            self.settle()
            self.done.append("settled")
            operations -= burst

    def settle(self) -> None:
        """Return when nothing is under way any more, all agrees, and what nobody touched ran on.

        Raises:
            AssertionError: that is never so; the message has what disagrees.
        """
        found: list[str] = ["nothing was seen"]

        def agrees() -> bool:
            found[:] = disagreements(self)
            return not found

        try:
            eventually(agrees, "settled", seconds=SETTLE_SECONDS)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *found])) from None
        statuses = {n: s for n, s in self.statuses().items() if n in self.sorts}
        for name, status in statuses.items():
            self.possible[name] = {status["wanted"]}
            self.able[name] = {status["enabled"]}
        marks = marks_of(statuses)
        self._touched.ended |= self._outdated
        self._outdated = {name for name in self._outdated if marks[name] == self._marks[name]}
        changed = needless(self._marks, marks, self._touched)
        assert not changed, "\n".join(changed)
        self._marks, self._touched = marks, Touched()
        self.counts["settled"] += 1

    def statuses(self) -> dict[str, Json]:
        """Return the status of each service."""
        with self.daemon.client as client:
            return statuses_of(client)

    def figures(self) -> str:
        """Return what was done, in numbers."""
        return ", ".join(f"{kind} {count}" for kind, count in sorted(self.counts.items()))

    # Operations

    def _operate(self, kind: str) -> None:
        operations: dict[str, Callable[[], str]] = {
            "start": lambda: self._command("Start"),
            "stop": lambda: self._command("Stop"),
            "restart": lambda: self._command("Restart"),
            "hup": lambda: self._command("ReloadService"),
            "connect": self._connect,
            "kill": self._kill,
            "crash": lambda: self._replace(Daemon.kill),
            "deep": self._crash_within,
            "enable": self._enable,
            "disable": self._disable,
            "quit": lambda: self._replace(Daemon.quit),
            "reexec": self._reexec,
            "keeper": self._kill_keeper,
            "reconfigure": self._reconfigure,
        }
        self.counts[kind] += 1
        self.done.append(f"{kind} {operations[kind]()}".strip())

    def _command(self, method: str) -> str:
        """Give a command, and do not wait for its answer."""
        reloading = [name for name, sort in self.sorts.items() if sort.reloads]
        name = self.random.choice(reloading if method == "ReloadService" else [*self.sorts])
        for other, wanted in self._effect(method, name).items():
            self.possible[other].add(wanted)
        self._give(method, name)
        return name

    def _give(self, method: str, name: str) -> None:
        thread = Thread(target=self._call, args=(method, name), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _effect(self, method: str, name: str) -> dict[str, bool]:
        if method == "ReloadService":
            return {}
        if method == "Stop":
            self._touched.stop(name)
            return {name: False}
        along = closure(name)
        if method == "Restart":
            self._touched.stop(name)
        self._touched.start(name)
        displaced = {rival: False for other in along for rival in rivals(other)}
        return displaced | dict.fromkeys(along, True)

    def _enable(self) -> str:
        name = self.random.choice(sorted(self._disabled) or [*self.sorts])
        self._disabled.discard(name)
        self._touched.allow(name)
        self.able[name].add(True)
        self._give("Enable", name)
        return name

    def _disable(self) -> str:
        name = self.random.choice([*self.sorts])
        self._disabled.add(name)
        self.able[name].add(False)
        self._give("Disable", name)
        return name

    def _call(self, method: str, name: str) -> None:
        # Whoever is answered or cut off by a crash: the judge goes by what is wanted afterwards.
        with suppress(VirtsupdError, TimeoutError), Client(str(self.made.socket), 20.0) as client:
            reports: Any = client.call(method, {"names": [name]})["reports"]
            self._results |= {report["result"] for report in reports}

    def _crash_within(self) -> str:
        """Kill virtsupd amid a command: after some changes of services, or after some time."""
        method = self.random.choice(("Start", "Stop", "Restart", "Restart", "Restart"))
        changes = self.random.choice((1, 1, 2, 3, 5, 8))
        seconds = self.random.uniform(0, DEEP_SECONDS)  # at most from one change to the next
        name = self._command(method)
        with suppress(VirtsupdError, TimeoutError), Client(str(self.made.socket), seconds) as watch:
            for _ in islice(watch.stream("Watch", {"names": []}), changes):
                pass
        self.daemon.kill()
        self.counts["left under way"] += len(under_way(self))
        self._replace(Daemon.kill)
        return f"{method} {name} {changes} {seconds:.3f}"

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(25)
            assert not thread.is_alive(), f"a command was never answered: {self.done[-5:]}"
        self._threads.clear()

    def _take_for_granted(self, *before: Mapping[str, set[bool]]) -> None:
        """Expect what the burst's only command asked for, since it was answered and not refused."""
        if self._results & {"disabled", "refused"}:
            return
        for now, old in zip((self.possible, self.able), before, strict=True):
            for name, values in now.items():
                now[name] = (values - old[name]) or values

    def _connect(self) -> str:
        path = self.random.choice([p for sort in self.sorts.values() for p in sort.sockets])
        with suppress(OSError):
            subprocess.run([PYTHON, "-I", "-S", "-c", _CLIENT, path], timeout=5, check=False)
        return path

    def _kill(self) -> str:
        name = self.random.choice([*self.sorts])
        self._touched.kill(name)
        with suppress(VirtsupdError, TimeoutError, OSError):
            pid = self.statuses()[name]["pid"]
            if pid and pid in lives_at(self.made, name):
                pidfd = os.pidfd_open(pid)
                try:
                    if pid in lives_at(self.made, name):
                        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                finally:
                    os.close(pidfd)
        return name

    def _kill_keeper(self) -> str:
        keeper = keeper_of(self.made)
        with suppress(ProcessLookupError):
            if keeper:
                kill_and_wait(keeper)
        return str(keeper)

    def _replace(self, end: Callable[[Daemon], None]) -> str:
        end(self.daemon)
        self._stack.close()
        self._launch()
        return ""

    def _reexec(self) -> str:
        """Have virtsupd become the same program again; commands under way ask that one."""
        self.daemon.ctl("reexec")
        return ""

    def _launch(self) -> None:
        self._daemon = self._stack.enter_context(Daemon.started(self.made))
        self.made.daemons.append(self._daemon)

    def _reconfigure(self) -> str:
        self._extras = tuple(name for name in EXTRAS if self.random.random() < 0.5)
        changed = self.random.choice([*self.sorts])
        self._changed[changed] = self._changed.get(changed, 0) + 1
        self._touched.allow(changed)
        if self.sorts[changed].is_one_shot:
            self._outdated.add(changed)
        self._touched.allow("idle")  # what was not needed is asked again by each reload
        self._configure()
        with suppress(VirtsupdError):
            self.daemon.call("Reload")
        return f"{changed} {self._extras}"

    def _configure(self) -> None:
        self.made.write(configuration(self.made.root, self._extras, self._changed))

    # Those who must not be touched

    @contextmanager
    def _bystanders(self) -> Iterator[None]:
        """Have one process beside everything, and one in a cgroup where guests live, as theirs."""
        heard = str(self.made.root / "guests")
        command = [PYTHON, "-I", "-S", str(CHILDREN / "svc_many.py"), "hear", heard]
        with ExitStack() as stack:
            for place in ("", "virt"):
                process = subprocess.Popen(command, start_new_session=True)
                stack.callback(process.wait)
                stack.callback(process.kill)
                self._place(process.pid, place)
            yield

    def _place(self, pid: int, name: str) -> None:
        """Put a bystander into the cgroup of a service, if one is named."""
        eventually(lambda: pid in guests_of(self.made), "a bystander")
        tree = self.made.cgroup()
        assert tree is not None
        if name:
            (tree.path / f"{name}.service" / "cgroup.procs").write_text(str(pid))

    def assert_unharmed(self) -> None:
        """Assert that nobody signalled a guest or a bystander."""
        for pid in guests_of(self.made):
            heard = (self.made.root / f"guests/{pid}").read_text()
            assert not heard, f"guest {pid} was signalled: {heard}"
            life = life_of(pid)
            assert life is not None, f"guest {pid} has ended"
            assert self.bystanders.setdefault(pid, life) == life

    def end_guests(self) -> None:
        """End what a shutdown would leave, by design."""
        for pid in guests_of(self.made):
            kill_and_wait(pid)


_CLIENT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as peer:
    peer.settimeout(3)
    try:
        peer.connect(sys.argv[1])
        peer.recv(10)
    except OSError:
        pass
"""
