"""Machines under a real virtsupd: QEMU, a tiny Linux guest, and the guest agent of QEMU."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.daemon import Daemon, Host, host
from tests.support.guest import BUILT

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]

BOOT_SECONDS = 60.0

TINY = """
[service.tiny]
command = ["qemu-system-x86_64", "-m", "128", "-nodefaults", "-display", "none", "-no-reboot",
  "-kernel", "{kernel}", "-initrd", "{initrd}", "-append", "console=ttyS0 quiet panic=-1{append}",
  "-chardev", "socket,id=qmp,path={at}/qmp,server=on,wait=off", "-mon", "chardev=qmp,mode=control",
  "-chardev", "socket,id=agent,path={at}/agent,server=on,wait=off",
  "-device", "virtio-serial", "-device",
  "virtserialport,chardev=agent,name=org.qemu.guest_agent.0,id=agent",
  "-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"]
machine = {{ directory = "{at}", qmp = "{at}/qmp", agent = "{at}/agent", kvm = false }}
ready = {{ kind = "machine", rungs = [{{ rung = "monitor" }}, {{ rung = "agent", timeout = "{seconds}s" }}] }}
stop = {{ steps = [{steps}] }}
respawn = {{ delay = "1s" }}
"""
POLITE = """{ how = "agent", time = "20s" }, { how = "powerdown", time = "20s" },
  { how = "quit", time = "5s" }, { how = "signal", time = "5s" }"""


@contextmanager
def tiny(*, steps: str = POLITE, seconds: float = BOOT_SECONDS, append: str = "") -> Iterator[Host]:
    with host("") as made:
        made.write(
            TINY.format(
                kernel=BUILT / "vmlinuz",
                initrd=BUILT / "initrd.gz",
                at=made.run_dir / "machines/tiny",
                steps=" ".join(steps.split()),
                seconds=seconds,
                append=append,
            )
        )
        yield made


def reached(made: Host) -> set[str]:
    return {file.name for file in (made.run_dir / "machines/tiny").glob("rung-*")}


def until_ready(daemon: Daemon) -> int:
    found = daemon.await_status(
        "tiny", lambda status: status["state"] == "running", "its agent", seconds=BOOT_SECONDS
    )
    assert "reached monitor, agent" in found["status_text"]
    return int(found["pid"])


def stop(daemon: Daemon) -> None:
    daemon.ctl("stop", "tiny")


def last_exit(daemon: Daemon) -> str:
    return str(daemon.status("tiny")["exits"][0]["text"])


def test_it_runs_when_its_agent_answers_and_its_agent_powers_it_off() -> None:
    with tiny() as made, made.started() as daemon:
        found = daemon.await_status(
            "tiny", lambda status: "reached monitor" in status["status_text"], "its monitor"
        )
        assert found["state"] == "starting", "a monitor that answers is no guest"
        until_ready(daemon)
        assert reached(made) == {"rung-monitor", "rung-agent"}
        stop(daemon)
        assert last_exit(daemon).startswith("powered off by its guest agent, ")


def test_without_the_agent_its_power_button_is_pressed() -> None:
    steps = '{ how = "powerdown", time = "20s" }, { how = "quit", time = "5s" }'
    with tiny(steps=steps) as made, made.started() as daemon:
        until_ready(daemon)
        stop(daemon)
        assert last_exit(daemon).startswith("powered off at its power button, ")


def test_a_killed_virtsupd_leaves_it_running_and_the_next_one_has_its_monitor_and_agent() -> None:
    with tiny() as made:
        with made.started() as daemon:
            daemon.await_status("tiny", lambda s: "monitor" in s["status_text"], "its monitor")
            pid = daemon.status("tiny")["pid"]
            daemon.kill()
        with made.started() as daemon:  # it still boots
            assert until_ready(daemon) == pid
            daemon.kill()
        with made.started() as daemon:
            assert until_ready(daemon) == pid
            stop(daemon)
            assert last_exit(daemon).startswith("powered off by its guest agent, ")


def test_a_guest_that_restarts_itself_is_started_again() -> None:
    with tiny(append=" rdinit=/bin/false") as made, made.started() as daemon:
        found = daemon.await_status(
            "tiny", lambda status: status["exits"], "its end", seconds=BOOT_SECONDS
        )
        assert found["exits"][0]["text"] == "its guest restarted itself"
        daemon.await_status("tiny", lambda s: s["restarts"] >= 1, "another start")


def test_a_boot_that_hangs_is_ended_and_tried_again() -> None:
    steps = '{ how = "quit", time = "5s" }'
    with tiny(steps=steps, seconds=0.5) as made, made.started() as daemon:
        found = daemon.await_status("tiny", lambda s: s["restarts"] >= 1, "another start")
        assert found["exits"][0]["text"].startswith("quit through its monitor, ")


def test_one_that_is_killed_is_started_again() -> None:
    with tiny() as made, made.started() as daemon:
        pid = until_ready(daemon)
        os.kill(pid, signal.SIGKILL)
        daemon.await_status("tiny", lambda s: s["restarts"] == 1, "another start")
        assert last_exit(daemon) == "ended by SIGKILL"


def test_what_it_says_on_its_console_is_in_its_log() -> None:
    with tiny() as made, made.started() as daemon:
        until_ready(daemon)
        log = Path(made.root / "log/tiny.log")
        eventually(lambda: "GUEST-READY" in text_of(log), "its console", seconds=BOOT_SECONDS)
