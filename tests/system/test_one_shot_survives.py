"""A one-shot runs once, whoever sees its end: virtsupd, its successor, or nobody."""

import os
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.daemon import Host, host, shell

pytestmark = pytest.mark.process


def one_shot(made_in: Path, end: str) -> str:
    """Return a one-shot that notes its begin, waits to be let go, and ends as told."""
    line = f"echo ran >> {made_in}/ran; read _ < {made_in}/gate; {end}"
    return f"[service.job]\none_shot = true\nrespawn = false\ncommand = {shell(line)}\n"


def gated(made: Host, end: str) -> Path:
    gate = made.root / "gate"
    made.write(one_shot(made.root, end))
    os.mkfifo(gate)
    return gate


@pytest.mark.parametrize(
    ("end", "state", "reason"),
    [
        ("exit 0", "running", None),
        ("exit 3", "stopped", "exited with code 3"),
        ("kill -9 $$", "stopped", "ended by SIGKILL"),
    ],
)
def test_one_that_ends_while_nobody_watches_is_judged_by_what_it_said(
    end: str, state: str, reason: str | None
) -> None:
    with host("") as made:
        gate = gated(made, end)
        with made.started() as daemon:
            pid = daemon.await_state("job", "starting")["pid"]
            eventually(lambda: text_of(made.root / "ran") == "ran\n", "its begin")
            daemon.kill()
            gate.write_text("go\n")
            eventually(lambda: not Path(f"/proc/{pid}").exists(), "its end")
        with made.started() as daemon:
            found = daemon.await_status("job", lambda s: s["state"] == state, state)
            assert text_of(made.root / "ran") == "ran\n"
            if reason is not None:
                assert reason in found["reason"]["text"]
            daemon.kill()
        with made.started() as daemon:
            daemon.await_state("job", state)
            assert text_of(made.root / "ran") == "ran\n", "done is done, for this boot"


def test_one_that_goes_on_is_taken_over_and_judged_at_its_end() -> None:
    with host("") as made:
        gate = gated(made, "exit 0")
        with made.started() as daemon:
            pid = daemon.await_state("job", "starting")["pid"]
            eventually(lambda: text_of(made.root / "ran") == "ran\n", "its begin")
            daemon.kill()
        with made.started() as daemon:
            assert daemon.await_state("job", "starting")["pid"] == pid
            gate.write_text("go\n")
            daemon.await_state("job", "running")
            assert text_of(made.root / "ran") == "ran\n"


def test_what_a_one_shot_said_goes_with_it_and_is_never_said_of_another_start() -> None:
    once = f"[service.job]\none_shot = true\ncommand = {shell('exit 0')}\n"
    ever = f"[service.job]\ncommand = {shell('exec sleep 1000')}\n"
    with host(once) as made:
        status = made.run_dir / "status/job"
        with made.started() as daemon:
            daemon.await_state("job", "running")
            assert status.exists()
            made.write("")
            daemon.call("Reload")
            eventually(lambda: not status.exists(), "nothing left of it")
            made.write(once)
            daemon.call("Reload")
            eventually(status.exists, "its status")
            daemon.await_state("job", "running")
            made.write(ever)
            daemon.call("Reload")
            daemon.ctl("restart", "job")
            assert daemon.pid("job")
            assert not status.exists()
            daemon.ctl("stop", "job")
            daemon.kill()
        made.write("")
        status.write_text("exited 000\n")
        with made.started():
            assert not status.exists()
