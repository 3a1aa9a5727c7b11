"""What services print is all there, once and in order, whoever is killed in between.

VIRTSUPD_TEST_SEED chooses the order of the kills; without it, it is the same one in each run.
"""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from backports import zstd
from tests.support.checks import eventually
from tests.support.daemon import CLIENT, Daemon, Host, host, python, shell
from tests.support.ending import keeper_of, kill_and_wait, replace_keeper

from virtsupd.process.log_files import log_files

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

KILLS = 10
EXECS = 4
BURST = 80_000
"""Lines: 8 MB, eight times what a FIFO holds."""
WORDS = 300
SMALL = "max_size = 65536, keep = 10000"
SERVICES = f"""
[service.steady]
command = {python("svc_numbers.py", "steady", "1000")}
log = {{ {SMALL}, compress = "none" }}
[service.flood]
command = {python("svc_numbers.py", "bursts", str(BURST))}
log = {{ max_size = "1MiB", keep = 10000, compress = "zstd" }}
[service.mortal]
command = {python("svc_numbers.py", "words", str(WORDS))}
respawn = {{ delay = "10ms", factor = 1.0, limit = 1000 }}
log = {{ {SMALL}, compress = "zstd" }}
[service.once]
command = {shell("i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done; echo end")}
one_shot = true
log = {{ {SMALL}, compress = "none" }}
"""
RUNNING = ("steady", "flood", "mortal")


def all_of(made: Host, name: str) -> str:
    """Return all that a service has printed, oldest first, as far as it is in its log files."""
    found = []
    for file in reversed(log_files(str(made.root / f"log/{name}.log"))):
        raw = Path(file).read_bytes()
        found.append(zstd.decompress(raw) if file.endswith(".zst") else raw)
    return b"".join(found).decode()


def numbers_in(text: str) -> dict[int, list[int]]:
    """Return the numbers of the lines of each process; a line that is not whole is an error."""
    found: dict[int, list[int]] = {}
    for line in text.splitlines():
        assert len(line) == 99, line
        number, pid, filling = line.split(" ")
        assert not filling.strip("x"), line
        found.setdefault(int(pid), []).append(int(number))
    return found


def assert_whole(text: str) -> tuple[int, int]:
    """Assert that nothing of one process is missing, doubled or moved.

    Return how many lines it wrote, and how many milliseconds its slowest write took.
    """
    *lines, last = text.splitlines(keepends=True)
    word, count, pid, slowest = last.split()
    assert word == "end"
    assert numbers_in("".join(lines)) == {int(pid): list(range(int(count)))}
    return int(count), int(slowest)


@dataclass(slots=True)
class Ordeal:
    """A virtsupd whose services write while it and its keeper are killed."""

    made: Host
    steady: str = "steady"
    """The service whose lines never cease."""
    pids: dict[str, int] = field(default_factory=dict)
    mortals: list[int] = field(default_factory=list)
    """Those that died while virtsupd was away."""
    gaps: list[float] = field(default_factory=list)
    """Seconds from a kill of the keeper until lines moved again."""

    execs: int = 0
    """Of the present virtsupd."""

    def begin(self, daemon: Daemon) -> None:
        for name in RUNNING:
            daemon.await_state(name, "running")
        self.made.await_log("once", "end")
        self.pids = {name: daemon.pid(name) for name in RUNNING}
        self.lines_move()

    def lines_move(self) -> None:
        """Return when the steady writer's log has grown."""
        file = self.made.root / f"log/{self.steady}.log"
        before = _place(file)
        eventually(lambda: _place(file) != before, "more lines")

    def flood(self) -> None:
        """Begin a burst, and return when the keeper is at it."""
        file = self.made.root / "log/flood.log"
        before = _place(file)
        os.kill(self.pids["flood"], signal.SIGUSR1)
        eventually(lambda: _place(file) != before, "a flood")

    def kill_keeper(self, daemon: Daemon) -> None:
        keeper = keeper_of(self.made)
        self.flood()
        begun = time.monotonic()
        replace_keeper(self.made)
        self.lines_move()
        self.gaps.append(time.monotonic() - begun)
        daemon.await_event("log keeper ended", pid=keeper)

    def become_another(self, daemon: Daemon) -> None:
        """Have virtsupd re-execute itself in the middle of a flood."""
        self.flood()
        self.execs += 1
        daemon.signal("USR1")
        daemon.await_event("virtsupd ready", count=self.execs + 1)
        assert {name: daemon.pid(name) for name in RUNNING} == self.pids
        self.lines_move()

    def be_away(self, daemon: Daemon, end: Callable[[Daemon], None]) -> None:
        """End virtsupd; while it is away, lines go on and one service dies."""
        self.flood()
        end(daemon)
        keeper = keeper_of(self.made)
        self.lines_move()
        self.mortals.append(self.pids["mortal"])
        kill_and_wait(self.pids["mortal"], signal.SIGUSR1)
        self.lines_move()
        assert keeper_of(self.made) == keeper

    def come_back(self, daemon: Daemon) -> None:
        dead = self.pids["mortal"]
        found = daemon.await_status(
            "mortal", lambda s: s["state"] == "running" and s["pid"] != dead, "a new one"
        )
        self.pids["mortal"] = found["pid"]
        assert found["restarts"] == len(self.mortals)
        assert {name: daemon.pid(name) for name in RUNNING} == self.pids
        self.lines_move()

    def judge(self) -> str:
        """Assert that every line is there; return the figures."""
        steady, slowest = assert_whole(all_of(self.made, "steady"))
        flood, delay = assert_whole(all_of(self.made, "flood"))
        self.judge_mortals()
        once = [*map(str, range(2000)), "end"]
        assert all_of(self.made, "once").splitlines() == once
        return (
            f"steady: {steady} lines, slowest write {slowest} ms; flood: {flood} lines, slowest "
            f"write {delay} ms; last words: {len(self.mortals)} of {len(self.mortals)}; keeper: "
            f"{len(self.gaps)} kills, lines move again after at most {max(self.gaps):.3f} s"
        )

    def judge_mortals(self) -> None:
        """Every dead one said all its words, and the living one nothing but its end."""
        lines = all_of(self.made, "mortal").splitlines()
        ends = [line for line in lines if line.startswith("end ")]
        said = numbers_in("\n".join(line for line in lines if not line.startswith("end ")))
        assert said == {pid: list(range(WORDS)) for pid in self.mortals}
        assert [int(end.split()[2]) for end in ends] == [*self.mortals, self.pids["mortal"]]


def _place(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_size


def leave_by_term(daemon: Daemon) -> None:
    daemon.signal("TERM")
    assert daemon.wait() == 0


ENDS: dict[str, Callable[[Daemon], None]] = {
    "kill": Daemon.kill,
    "quit": Daemon.quit,
    "TERM": leave_by_term,
}


def ways(seed: int) -> Iterator[str]:
    """Yield ten kills of each, two leaves and some execs, in an order of chance, and at last "stop"."""
    found = ["kill"] * KILLS + ["keeper"] * KILLS + ["quit", "TERM"] + ["exec"] * EXECS
    random.Random(seed).shuffle(found)
    return iter([*found, "stop"])


def test_no_line_is_lost_whoever_is_killed() -> None:
    seed = int(os.environ.get("VIRTSUPD_TEST_SEED", "3"))
    sys.stdout.write(f"VIRTSUPD_TEST_SEED={seed}\n")
    with host(SERVICES) as made:
        ordeal, way = Ordeal(made), ""
        left = ways(seed)
        while way != "stop":
            with made.started() as daemon:
                ordeal.come_back(daemon) if ordeal.pids else ordeal.begin(daemon)
                ordeal.execs = 0
                while (way := next(left)) in {"keeper", "exec"}:
                    ordeal.kill_keeper(daemon) if way == "keeper" else ordeal.become_another(daemon)
                if way != "stop":
                    ordeal.be_away(daemon, ENDS[way])
                    continue
                daemon.ctl("stop", *RUNNING)
                daemon.shutdown()
                sys.stdout.write(f"{ordeal.judge()}\n")


def follower(daemon: Daemon, *words: str) -> subprocess.Popen[str]:
    """Start virtsupctl log -f."""
    return subprocess.Popen(
        [*CLIENT, "--socket", str(daemon.host.socket), "log", "-f", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_who_follows_a_log_is_told_of_the_end_and_goes_on_without_a_gap() -> None:
    with host(SERVICES) as made:
        with made.started() as daemon:
            daemon.await_state("steady", "running")
            with follower(daemon, "-n", "1", "steady") as reader:
                assert reader.stdout is not None
                assert reader.stderr is not None
                seen = [reader.stdout.readline() for _ in range(300)]
                kill_and_wait(keeper_of(made))
                seen += [reader.stdout.readline() for _ in range(300)]
                daemon.kill()
                seen += reader.stdout.readlines()
                assert reader.wait() == 6
                assert "virtsupd" in reader.stderr.read()
        with made.started() as daemon:
            last = int(seen[-1].split()[0])
            daemon.await_state("steady", "running")
            with follower(daemon, "-n", "5000", "steady") as reader:
                assert reader.stdout is not None
                again: list[str] = []
                while not again or int(again[-1].split()[0]) < last + 300:
                    again.append(reader.stdout.readline())
                reader.terminate()
            rest = again[again.index(seen[-1]) + 1 :]
            numbers = [int(line.split()[0]) for line in seen + rest]
            assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_who_is_left_of_a_service_that_is_gone_prints_on() -> None:
    """A guest without a keeper would stop at its next line, once its FIFO is full."""
    guest = f"{python('svc_numbers.py', 'steady', '1000')}"
    line = f"{' '.join(map(shlex.quote, json.loads(guest)))} & echo $! >&3; exec sleep 1000"
    with host() as made:
        line = line.replace("&3", str(made.root / "guest"))
        made.write(f'[service.web]\ncommand = {shell(line)}\nstop = {{ mode = "process" }}\n')
        ordeal = Ordeal(made, steady="web")
        with made.started() as daemon:
            daemon.await_state("web", "running")
            ordeal.lines_move()
            daemon.ctl("stop", "web")
            daemon.kill()
        with made.started() as daemon:
            for _ in range(2):
                replace_keeper(made)
                ordeal.lines_move()
                made.write("")
                daemon.ctl("reload")
                eventually(lambda: not daemon.call("Status", names=[])["services"], "no service")
                ordeal.lines_move()
            kill_and_wait(int((made.root / "guest").read_text()), signal.SIGTERM)
            daemon.shutdown()
            assert_whole(all_of(made, "web"))


def test_who_leaves_has_told_a_new_keeper_of_every_log() -> None:
    with host(SERVICES) as made:
        with made.started() as daemon:
            daemon.await_state("steady", "running")
            kill_and_wait(keeper_of(made))
            daemon.quit()
        ordeal = Ordeal(made)
        ordeal.lines_move()
        with made.started() as daemon:
            daemon.ctl("stop", *RUNNING)
            daemon.shutdown()
            assert_whole(all_of(made, "steady"))


def test_an_old_line_makes_no_adopted_service_ready() -> None:
    line = "echo begins; [ ! -e {0}/hold ] || until [ -e {0}/go ]; do sleep 0.01; done; echo up"
    with host() as made:
        command = shell(line.format(made.root) + "; exec sleep 1000")
        made.write(
            f"[service.web]\ncommand = {command}\n"
            'ready = { kind = "log-line", pattern = "^up$", timeout = "60s" }\n'
        )
        with made.started() as daemon:
            first = daemon.await_state("web", "running")["pid"]
            (made.root / "hold").touch()
            kill_and_wait(first)
            made.await_log("web", "up\nbegins\n")
            pid = daemon.await_state("web", "starting")["pid"]
            daemon.kill()
        with made.started() as daemon:
            for _ in range(10):
                assert daemon.state("web") == "starting"
            (made.root / "go").touch()
            assert daemon.await_state("web", "running")["pid"] == pid


def test_what_is_configured_no_more_or_otherwise_goes_on_into_its_log() -> None:
    """A guest without a keeper would stop at its next line, once its FIFO is full."""
    guest = f"[service.vm]\ncommand = {python('svc_numbers.py', 'steady', '1000')}\nguest = true\n"
    web = f"[service.web]\ncommand = {python('svc_numbers.py', 'steady', '1000')}\n"
    with host(guest + web) as made:
        files = [made.root / f"log/{name}.log" for name in ("vm", "web")]
        with made.started() as daemon:
            pids = [daemon.await_state(name, "running")["pid"] for name in ("vm", "web")]
            daemon.kill()
        made.write(web + f'log = {{ file = "{made.root}/log/other.log" }}\n')
        with made.started() as daemon:
            kill_and_wait(keeper_of(made))
            places = [_place(file) for file in files]
            eventually(
                lambda: all(_place(f) != p for f, p in zip(files, places, strict=True)),
                "more lines",
            )
            assert [daemon.pid(name) for name in ("vm", "web")] == pids
            daemon.ctl("restart", "web")
            made.await_log("other", "1 ")
            daemon.ctl("stop", "vm", "web")
            for name in ("vm", "web", "other"):
                assert_whole(all_of(made, name))
