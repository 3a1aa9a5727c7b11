"""What keeps a childhurd from starting, and how clearly that is said; secrets go to nobody else."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.checks import text_of
from tests.support.daemon import Daemon, Json
from tests.support.stand_in import (
    BOOT_SECONDS,
    SECRETS_PORT,
    Network,
    last_exit,
    stand_in,
    unit,
)

pytestmark = [pytest.mark.component, pytest.mark.timeout(120)]

ONCE_MORE = unit(
    'respawn = { delay = "0.1s", limit = 1, window = "10min" }',
    'stop = { steps = [{ how = "quit", time = "5s" }] }',
)
SOMEBODY = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server, open(sys.argv[2], "wb", 0) as got:
    print("listens", flush=True)
    while True:
        with server.accept()[0] as client:
            got.write(b"connected ")
            client.sendall(b"(secret-service-server (version 0))")
            while piece := client.recv(65536):
                got.write(piece)
"""
"""A program that listens where a guest should, greets as one, and writes down what it is sent."""


@contextmanager
def somebody_at(port: int, net: Network, got: Path) -> Iterator[int]:
    """Yield the pid of a program that listens on a port in place of a guest."""
    line = [*net.prefix, sys.executable, "-c", SOMEBODY, str(port), str(got)]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listens\n"
        try:
            yield process.pid
        finally:
            process.kill()


@contextmanager
def somebody_with(disk: Path) -> Iterator[int]:
    """Yield the pid of another QEMU that has a disk open for writing."""
    line = ["qemu-system-i386", "-S", "-nodefaults", "-display", "none", "-qmp", "stdio",
            "-drive", f"file={disk},format=raw"]  # fmt: skip
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b'"QMP"' in process.stdout.readline(), "QEMU did not start"
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def disk() -> Iterator[Path]:
    """Return where a disk can be that every account may read."""
    with tempfile.TemporaryDirectory(prefix="vs-disk-", dir="/tmp") as place:
        Path(place).chmod(0o755)
        yield Path(place) / "hurd.img"


def await_failure(daemon: Daemon, name: str = "hurd-vm") -> Json:
    return daemon.await_status(name, lambda s: s["failed"], "its failure", seconds=BOOT_SECONDS)


def assert_nothing_is_left(daemon: Daemon) -> None:
    assert list(daemon.host.run_dir.glob("machines/*")) == []
    assert daemon.status("hurd-vm")["pid"] is None


def test_a_port_that_somebody_has_is_named_with_who_that_is_and_gets_no_secrets(
    tmp_path: Path,
) -> None:
    with (
        stand_in(more=ONCE_MORE) as guest,
        somebody_at(SECRETS_PORT, guest.network, tmp_path / "got") as other,
        guest.host.started() as daemon,
    ):
        found = await_failure(daemon)
        text = f"could not have port {SECRETS_PORT}, which pid {other} (python"
        assert last_exit(daemon).startswith(text)
        assert text in found["reason"]["text"]
        assert found["restarts"] == 1
        why = daemon.ctl("why", "childhurd").stdout
        assert text in why
        assert "Could not set up host forwarding rule" in why
        assert_nothing_is_left(daemon)
        assert text_of(tmp_path / "got") == ""


def test_who_listens_beside_qemu_on_the_port_of_the_secrets_gets_none(tmp_path: Path) -> None:
    """QEMU can have the port on another address, and somebody has it where virtsupd connects to."""
    net = (
        'net_options = ["--device", "rtl8139,netdev=net0", "--netdev",'
        ' "user,id=net0,hostfwd=tcp:127.0.0.2:{secrets_port}-:1004,hostfwd=tcp:127.0.0.1:{ssh_port}-:2222"]'
    )
    with (
        stand_in(net, "boot_timeout = 2", more=ONCE_MORE) as guest,
        somebody_at(SECRETS_PORT, guest.network, tmp_path / "got"),
        guest.host.started() as daemon,
    ):
        reason = await_failure(daemon)["reason"]["text"]
        text = f"secrets: not within 2 s: the QEMU of this machine does not listen on port {SECRETS_PORT}"
        assert text in reason
        assert_nothing_is_left(daemon)
        assert text_of(tmp_path / "got") == ""


def test_an_image_that_qemu_cannot_start_with_is_named_before_qemu_is_run(disk: Path) -> None:
    with stand_in(f'image = "{disk}"') as guest, guest.host.started() as daemon:
        await_failure(daemon, "hurd-vm-image")
        why = daemon.ctl("why", "childhurd").stdout
        assert f"cannot use the image {disk}: no such file or directory" in why
        assert "hurd-vm-image (failed)" in daemon.reason("hurd-vm")

        disk.write_bytes(b"this is no disk" * 100)
        daemon.ctl("start", "childhurd", expect=None)
        told = "it does not begin with a boot sector, and is no qcow2"
        guest.host.await_log("hurd-vm-image", told)
        assert daemon.status("hurd-vm")["exits"] == [], "QEMU was run"
        assert_nothing_is_left(daemon)


def test_an_image_that_another_qemu_writes_is_refused_with_its_name(disk: Path) -> None:
    disk.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1 << 20))
    with (
        somebody_with(disk) as other,
        stand_in(f'image = "{disk}"') as guest,
        guest.host.started() as daemon,
    ):
        await_failure(daemon, "hurd-vm-image")
        said = guest.host.log("hurd-vm-image")
        assert str(disk) in said
        assert f"another QEMU writes to it (qemu-system-i386 {other})" in said
        assert daemon.status("hurd-vm")["exits"] == [], "QEMU was run"


def test_a_disk_that_boots_nothing_fails_at_the_rung_it_never_reached(disk: Path) -> None:
    halt = b"\xfa\xf4"
    disk.write_bytes(halt.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    with (
        stand_in(f'image = "{disk}"', "boot_timeout = 2", more=ONCE_MORE) as guest,
        guest.host.started() as daemon,
    ):
        found = await_failure(daemon)
        assert "did not become ready: secrets: not within 2 s" in found["reason"]["text"]
        ends = [entry["text"].split(",")[0] for entry in found["exits"]]
        assert ends == ["quit through its monitor"] * 2
        assert_nothing_is_left(daemon)


def test_kvm_that_is_demanded_and_not_for_its_account_is_a_failure_that_says_what_to_do() -> None:
    with stand_in("kvm = true") as guest:
        hidden = guest.host.root / "kvm"
        hidden.touch(0o600)
        hide = f'[ ! -e /dev/kvm ] || mount --bind {hidden} /dev/kvm; exec "$@"'
        guest.host.prefix = (*guest.network.prefix, "unshare", "--mount", "sh", "-c", hide, "sh")
        with guest.host.started() as daemon:
            found = await_failure(daemon)
            assert found["reason"]["text"].startswith("kvm: kvm = true, and ")
            assert "/dev/kvm" in found["reason"]["text"]
            assert (found["restarts"], found["exits"]) == (0, []), "it is no use to try again"
            assert_nothing_is_left(daemon)
