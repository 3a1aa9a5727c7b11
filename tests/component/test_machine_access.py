"""What can be done with a machine that runs: console, SSH, display, its guest's agent, its monitor."""

import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.checks import eventually
from tests.support.daemon import CLIENT, Daemon
from tests.support.stand_in import SSH_SECONDS, StandIn, await_ready, stand_in

pytestmark = [pytest.mark.component, pytest.mark.timeout(240)]

SECONDS = 20.0


class Session:
    """virtsupctl on a terminal of its own."""

    def __init__(self, made: StandIn, *words: str) -> None:
        self.ours, self.theirs = pty.openpty()
        self.before = termios.tcgetattr(self.theirs)
        self.process = subprocess.Popen(
            [*made.network.prefix, *_words(made, *words)],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
        )
        self.said = b""

    def await_said(self, text: str) -> None:
        """Return once the text has come; what came before it is forgotten."""
        end = time.monotonic() + SECONDS
        while text.encode() not in self.said:
            left = end - time.monotonic()
            assert left > 0, f"no {text!r} in {self.said!r}"
            if select.select([self.ours], [], [], left)[0]:
                self.said += os.read(self.ours, 4096)
        self.said = self.said.partition(text.encode())[2]

    def type(self, text: bytes) -> None:
        os.write(self.ours, text)

    def end(self) -> int:
        """Return its exit code; the terminal has to be as it was."""
        code = self.process.wait(SECONDS)
        assert termios.tcgetattr(self.theirs) == self.before
        return code


@contextmanager
def session(made: StandIn, *words: str) -> Iterator[Session]:
    found = Session(made, *words)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.process.kill()
            found.process.wait()
        os.close(found.ours)
        os.close(found.theirs)


def _words(made: StandIn, *words: str) -> list[str]:
    return [*CLIENT, "--socket", str(made.host.socket), *words]


def run(made: StandIn, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run virtsupctl to its end in the network of the machine."""
    return subprocess.run(
        [*made.network.prefix, *_words(made, *words)],
        input=given,
        capture_output=True,
        text=True,
        timeout=SSH_SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[StandIn, Daemon]]:
    with stand_in() as made, made.host.started() as daemon:
        await_ready(daemon)
        yield made, daemon


@pytest.fixture
def machine(running: tuple[StandIn, Daemon]) -> StandIn:
    return running[0]


def test_the_console_is_used_on_a_terminal_and_left_again(machine: StandIn) -> None:
    with session(machine, "console", "childhurd") as console:
        console.await_said("GUEST-READY")  # from before
        console.await_said("Ctrl-] leaves it")
        console.type(b"\r")
        console.await_said("/ # ")
        console.type(b"echo $((6 * 7))-here\r")
        console.await_said("42-here")
        console.type(b"echo it-$((3 + 4)); sleep 100\r")
        console.await_said("it-7")
        console.type(b"\x03")  # goes to the guest, and ends nothing here
        console.type(b"echo still-$((1 + 1))\r")
        console.await_said("still-2")
        console.type(b"\x1d")
        console.await_said("left the console of hurd-vm")
        assert console.end() == 0


def test_one_at_a_time_has_the_console_and_the_other_is_told_who(machine: StandIn) -> None:
    with session(machine, "console", "childhurd") as console:
        console.await_said("Ctrl-] leaves it")
        eventually(lambda: run(machine, "console", "childhurd").returncode == 1, "a refusal")
        refused = run(machine, "console", "childhurd").stderr
        assert refused.startswith("cannot have the console of hurd-vm: somebody else has it: ")
        assert f" {console.process.pid}" in refused


def test_the_terminal_is_as_it_was_when_the_console_is_told_to_end(machine: StandIn) -> None:
    with session(machine, "console", "childhurd", "--escape", "^A") as console:
        console.await_said("Ctrl-A leaves it")
        console.type(b"\r")
        console.await_said("/ # ")
        console.type(b"echo up-$((3 * 3))\r")
        console.await_said("up-9")
        console.process.send_signal(signal.SIGTERM)
        assert console.end() == 0


def test_what_comes_through_a_pipe_is_typed(machine: StandIn) -> None:
    done = run(machine, "console", "childhurd", given="\necho $((5 * 5))-piped\n")
    assert done.returncode == 0, done.stderr
    assert "25-piped" in done.stdout


@pytest.mark.parametrize(
    "words", [("--escape", "x"), ("--wait", "0"), ("--wait", "nan"), ("what",)]
)
def test_wrong_words_are_told_before_anything_is_done(
    machine: StandIn, words: tuple[str, ...]
) -> None:
    done = run(machine, "console", "childhurd", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("cannot have the console of hurd-vm: ")


def test_ssh_knows_the_machine_and_passes_words_and_the_exit_status_on(machine: StandIn) -> None:
    done = run(machine, "ssh", "childhurd", "read word; echo got $word; exit 42", given="this\n")
    assert (done.returncode, done.stdout) == (42, "got this\n"), done.stderr
    done = run(machine, "ssh", "childhurd", "-v", "true")
    assert "Server accepts key" not in done.stderr
    assert f"Host '{'hurd-vm'}' is known" in done.stderr


def test_whoever_has_another_key_is_not_spoken_to(machine: StandIn) -> None:
    keys = sorted((machine.secrets / "etc/ssh").glob("*.pub"))
    before = {key: key.read_text() for key in keys}
    try:
        for key in keys:
            kind, _, comment = before[key].split(" ", 2)
            other = machine.host.root / "other"
            other.unlink(missing_ok=True)
            name = kind.removeprefix("ssh-").split("-")[0]
            subprocess.run(
                ["ssh-keygen", "-q", "-t", name, "-N", "", "-C", comment, "-f", str(other)],
                check=True,
            )
            key.write_text(other.with_name("other.pub").read_text())
        done = run(machine, "ssh", "childhurd", "true")
        assert done.returncode == 255
        assert "Host key verification failed" in done.stderr
    finally:
        for key, text in before.items():
            key.write_text(text)


def test_the_display_is_told_and_is_there(machine: StandIn) -> None:
    assert run(machine, "vnc", "childhurd").stdout.startswith("127.0.0.1:5900, display :0, ")
    told = json.loads(run(machine, "vnc", "childhurd", "--json").stdout)
    line = "import socket, sys; print(socket.create_connection(('127.0.0.1', int(sys.argv[1]))).recv(4))"
    assert machine.network.run(sys.executable, "-c", line, str(told["port"])) == "b'RFB '\n"


def test_the_agent_runs_a_command_with_its_output_and_its_exit_status(machine: StandIn) -> None:
    line = "cat; echo out; echo err >&2; exit 42"
    done = run(
        machine, "agent", "childhurd", "exec", "--input", "--", "sh", "-c", line, given="in\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (42, "in\nout\n", "err\n")
    done = run(machine, "agent", "childhurd", "exec", "--", "sh", "-c", "kill -9 $$")
    assert done.returncode == 137
    done = run(machine, "agent", "childhurd", "exec", "--timeout", "0.2", "--", "sleep", "100")
    assert done.returncode == 1
    assert re.search(r"not done within 0.2 s; it runs on in the guest as pid \d+\n$", done.stderr)
    done = run(machine, "agent", "childhurd", "exec", "--", "/nonexistent")
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr


def test_the_agent_is_asked_in_words_and_as_it_speaks(machine: StandIn) -> None:
    assert run(machine, "agent", "childhurd", "ping").returncode == 0
    assert run(machine, "agent", "childhurd", "hostname").stdout == "childhurd\n"
    assert "i686" in run(machine, "agent", "childhurd", "osinfo").stdout
    assert re.search(
        r"^eth0 .*10\.0\.2\.15/24",
        run(machine, "agent", "childhurd", "network").stdout,
        re.MULTILINE,
    )
    assert run(machine, "agent", "childhurd", "filesystems").returncode == 0
    raw = run(machine, "agent", "childhurd", '{"execute": "guest-info"}')
    assert json.loads(raw.stdout)["version"]
    refused = run(machine, "agent", "childhurd", '{"execute": "guest-nonsense"}')
    assert refused.returncode == 1
    assert "guest-nonsense has not been found" in refused.stderr


def test_several_who_ask_the_agent_at_once_are_all_answered(machine: StandIn) -> None:
    asking = [
        subprocess.Popen(
            [
                *machine.network.prefix,
                *_words(machine, "agent", "childhurd", "exec", "--", "printf", str(number)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(6)
    ]
    assert [each.communicate(timeout=SSH_SECONDS)[0] for each in asking] == [
        str(number) for number in range(6)
    ]


def test_the_monitor_answers_beside_the_one_that_virtsupd_holds(machine: StandIn) -> None:
    assert json.loads(run(machine, "qmp", "childhurd", "query-status").stdout)["running"] is True
    refused = run(machine, "qmp", "childhurd", "device_del", "id=nothing")
    assert refused.returncode == 1
    assert "Device 'nothing' not found" in refused.stderr


def test_what_it_is_like_is_told(machine: StandIn) -> None:
    shown = run(machine, "info", "childhurd").stdout
    assert re.search(
        r"^disk +ide0-hd0: \S+/childhurd.img, raw, nothing written is kept$", shown, re.MULTILINE
    )
    told = json.loads(run(machine, "info", "childhurd", "--json").stdout)
    assert (told["state"], told["memory_bytes"], told["vnc"]) == (
        "running",
        512 << 20,
        "127.0.0.1:5900",
    )
    assert {forward["port"] for forward in told["forwards"]} == {11004, 10022, 15900}
    assert told["reached"] == ["monitor", "secrets", "agent", "ssh"]


def test_its_picture_belongs_to_whoever_takes_it(machine: StandIn) -> None:
    file = machine.host.root / "shown.png"
    for words, code in (((str(file),), 0), ((str(file),), 1), (("--force", str(file)), 0)):
        assert run(machine, "screenshot", "childhurd", *words).returncode == code
    picture = file.read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", picture[16:24]) == (720, 400)  # a PC's text mode
    assert list(machine.host.root.glob("*.png")) == [file]


def test_a_console_goes_on_with_the_next_start_and_nothing_is_there_without_a_machine(
    running: tuple[StandIn, Daemon],
) -> None:
    made, daemon = running
    with session(made, "console", "childhurd") as console:
        console.await_said("Ctrl-] leaves it")
        daemon.ctl("stop", "childhurd")
        console.await_said("[the machine has ended]")
        for words in (("ssh", "childhurd"), ("vnc", "childhurd")):
            done = run(made, *words)
            assert done.returncode == 1
            assert done.stderr.endswith("it is not running; virtsupctl status hurd-vm\n")
        refused = run(made, "console", "childhurd")
        assert refused.stderr.endswith("it is not running; virtsupctl start hurd-vm\n")
        daemon.ctl("--timeout", "1s", "start", "childhurd", expect=7)
        console.await_said("[the machine has started again]")
        console.await_said("STAND-IN-ASKS-FOR-SECRETS")
        console.type(b"\x1d")
        assert console.end() == 0
