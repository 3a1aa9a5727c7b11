"""A childhurd from its first rung to its end: real QEMU, and a stand-in that asks for its secrets."""

import hashlib
import stat
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.daemon import Daemon, Json
from tests.support.stand_in import (
    StandIn,
    await_ready,
    await_rung,
    command_line,
    image,
    last_exit,
    rungs,
    stand_in,
    unit,
)

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]

TUNNEL = """
[service.tunnel]
command = ["/bin/sleep", "1000"]
requires = ["childhurd-ssh"]
binds_to = ["childhurd"]
"""


def write_odd_secrets(root: Path) -> None:
    """Add files whose modes and contents are unlike those that virtsupd makes."""
    (root / "srv/empty").mkdir(parents=True)
    root.chmod(0o700)
    for name, mode, content in (
        ("srv/all-bytes", 0o600, bytes(range(256)) * 3),
        ("srv/nothing", 0o644, b""),
        ("srv/run-me", 0o4755, b"#!/bin/sh\necho ran\n"),
        ("srv/scheme", 0o440, b")))(files \x00\n\n"),
        ("srv/tail", 0o604, b"no newline"),
    ):
        (root / name).write_bytes(content)
        (root / name).chmod(mode)
    (root / "srv/zz-link").symlink_to("tail")


def files_of(root: Path) -> dict[str, tuple[str, str, str]]:
    """Return the files below a directory, each with what the guest should have: mode, owner, content."""
    return {
        f"/{path.relative_to(root)}": (
            f"{stat.S_IMODE(path.stat().st_mode):o}",
            "0:0",
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in root.rglob("*")
        if path.is_file()
    }


def files_in_guest(guest: StandIn, names: list[str]) -> dict[str, tuple[str, str, str]]:
    """Ask the guest for the same."""
    words = " ".join(names)
    owned = guest.ssh(f"busybox stat -c '%n %a %u:%g' {words}; busybox sha256sum {words}").split(
        "\n"
    )
    found = [line.split() for line in owned if line]
    rights = {name: (mode, owner) for name, mode, owner in found[: len(names)]}
    sums = {name: digest for digest, name in found[len(names) :]}
    return {name: (*rights[name], sums[name]) for name in names}


def expected_command_line(guest: StandIn) -> list[str]:
    """Return what the specification has for a machine without a number, and our sockets behind it."""
    at = guest.host.run_dir / "machines/hurd-vm"
    specified = (
        "-m 512 --device rtl8139,netdev=net0 --netdev user,id=net0,"
        "hostfwd=tcp:127.0.0.1:11004-:1004,hostfwd=tcp:127.0.0.1:10022-:2222,"
        f"hostfwd=tcp:127.0.0.1:15900-:5900 --snapshot --hda {image()} --no-reboot"
    )
    socket = "server=on,wait=off"
    ours = (
        f"-chardev socket,id=qmp,path={at}/qmp,{socket} -mon chardev=qmp,mode=control "
        f"-chardev socket,id=monitor,path={at}/monitor,{socket} -mon chardev=monitor,mode=control "
        f"-chardev socket,id=serial,path={at}/serial,{socket},logfile=/dev/stdout,logappend=on "
        "-serial chardev:serial "
        f"-chardev socket,id=agent,path={at}/agent,{socket} -device virtio-serial -device "
        "virtserialport,chardev=agent,name=org.qemu.guest_agent.0,id=agent -vnc 127.0.0.1:0"
    )
    return f"{specified} {ours}".split()


def assert_no_secret_is_told(guest: StandIn, daemon: Daemon) -> None:
    """Look for private keys wherever others may read, or an operator may copy from."""
    private = text_of(guest.secrets / "etc/ssh/ssh_host_ed25519_key").splitlines()[1]
    signing = text_of(guest.secrets / "etc/guix/signing-key.sec").split("(d #")[1][:64]
    told = [daemon.output, daemon.ctl("--json", "status", "childhurd").stdout]
    told += [text_of(path) for path in guest.host.root.glob("log/*.log")]
    told += [text_of(path) for path in guest.host.run_dir.rglob("*") if path.is_file()]
    for text in told:
        assert private not in text
        assert signing not in text


def since(status: Json, state: str) -> float:
    return max(float(change["at"]) for change in status["changes"] if change["state"] == state)


def test_with_its_default_command_line_it_climbs_every_rung_and_its_agent_powers_it_off() -> None:
    with stand_in(more=TUNNEL) as guest:
        write_odd_secrets(guest.secrets)
        with guest.host.started() as daemon:
            found = await_rung(daemon, "monitor")
            assert (found["state"], daemon.state("tunnel")) == ("starting", "stopped")
            assert "hurd-vm-ssh" in daemon.reason("tunnel")

            found = daemon.await_status(
                "hurd-vm",
                lambda s: s["reason"]["text"].startswith("waits until ready (machine): secrets"),
                "that it waits for its secrets",
            )
            found = await_rung(daemon, "secrets")
            assert "secrets" not in daemon.reason("hurd-vm")
            assert found["state"] == "starting", "a guest that has its secrets answers nobody yet"
            pid = await_ready(daemon)
            assert command_line(pid)[1:] == expected_command_line(guest)
            assert "TMPDIR=/tmp" in Path(f"/proc/{pid}/environ").read_text().split("\0")

            await_rung(daemon, "agent")
            eventually(lambda: daemon.state("tunnel") == "running", "the tunnel")
            ready = since(daemon.status("hurd-vm"), "running")
            assert since(daemon.status("tunnel"), "starting") >= ready
            assert rungs(guest.host) == {"rung-monitor", "rung-secrets", "rung-agent", "rung-ssh"}

            expected = files_of(guest.secrets)
            assert len(expected) == 15
            assert files_in_guest(guest, sorted(expected)) == expected
            assert guest.ssh("/srv/run-me") == "ran\n"
            assert_no_secret_is_told(guest, daemon)

            daemon.ctl("stop", "childhurd")
            assert last_exit(daemon).startswith("powered off by its guest agent, 0.")
            assert daemon.state("tunnel") == "stopped"
            assert not (guest.host.run_dir / "machines/hurd-vm").exists()


def test_two_of_them_run_at_once_each_at_its_ports_and_end_together() -> None:
    with stand_in() as guest:
        tables = [guest.table(f"id = {number}", element="[[hurd_vm]]") for number in (1, 2)]
        guest.host.write("\n".join(tables))
        with guest.host.started() as daemon:
            pids = [await_ready(daemon, f"childhurd{number}") for number in (1, 2)]
            assert len(set(pids)) == 2
            for number in (1, 2):
                line = " ".join(command_line(pids[number - 1]))
                for port, to in ((11004, 1004), (10022, 2222), (15900, 5900)):
                    assert f"127.0.0.1:{port + 1000 * number}-:{to}" in line
                guest.ssh(f"echo machine {number} >/run/mine", port=10022 + 1000 * number)
            for number in (1, 2):
                said = guest.ssh("cat /run/mine", port=10022 + 1000 * number)
                assert said == f"machine {number}\n"
            daemon.ctl("stop", "hurd-vm1", "hurd-vm2")
            for number in (1, 2):
                assert last_exit(daemon, f"hurd-vm{number}").startswith(
                    "powered off by its guest agent, "
                )
            began = [since(daemon.status(f"hurd-vm{n}"), "stopping") for n in (1, 2)]
            ended = [since(daemon.status(f"hurd-vm{n}"), "stopped") for n in (1, 2)]
            assert max(began) < min(ended), "one waited for the other"


def test_killed_virtsupds_leave_it_climbing_and_its_secrets_are_delivered_once() -> None:
    with stand_in() as guest:
        with guest.host.started() as daemon:
            pid = await_rung(daemon, "monitor")["pid"]
            assert "rung-secrets" not in rungs(guest.host)
            daemon.kill()
        with guest.host.started() as daemon:
            assert await_rung(daemon, "secrets")["pid"] == pid
            daemon.kill()
        assert "rung-ssh" not in rungs(guest.host), "the guest was ready too soon"
        with guest.host.started() as daemon:
            assert await_ready(daemon) == pid
            await_rung(daemon, "agent")
            daemon.kill()
        with guest.host.started() as daemon:
            assert await_ready(daemon) == pid
            assert daemon.status("hurd-vm")["restarts"] == 0
            assert guest.host.log("hurd-vm").count("STAND-IN-HAS-SECRETS") == 1
            guest.ssh(in_a_moment("poweroff -f"))
            found = daemon.await_status("hurd-vm", lambda s: s["state"] == "stopped", "its end")
            assert found["exits"][0]["text"] == "its guest powered itself off"
            assert (found["failed"], found["restarts"]) == (False, 0)
            assert "powered itself off" in daemon.reason("hurd-vm")


def test_one_without_secrets_gets_an_empty_list_and_climbs_anew_when_it_restarts_itself() -> None:
    steps = '{ how = "agent", time = "5s" }, { how = "powerdown", time = "0.5s" }, { how = "quit", time = "5s" }'
    keys = unit('respawn = { delay = "0.1s" }', f"stop = {{ steps = [{steps}] }}")
    with stand_in("secret_root = false", more=keys) as guest, guest.host.started() as daemon:
        pid = await_ready(daemon)
        assert not guest.secrets.exists()
        guest.ssh_to_any(in_a_moment("reboot -f"))
        found = daemon.await_status("hurd-vm", lambda s: s["restarts"] == 1, "another start")
        assert found["exits"][0]["text"] == "its guest restarted itself"
        found = await_rung(daemon, "monitor")
        assert (found["state"], found["pid"] == pid) == ("starting", False)
        assert rungs(guest.host) == {"rung-monitor"}
        daemon.ctl("stop", "childhurd")
        assert last_exit(daemon).startswith("quit through its monitor, ")


def in_a_moment(command: str) -> str:
    """Return a line of shell that returns before the command begins, which ends the connection."""
    return f"setsid sh -c 'usleep 300000; {command}' </dev/null >/dev/null 2>&1 &"
