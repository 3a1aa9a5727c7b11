"""What guests would lose with virtlogd or virtlockd, told from real descriptors."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.checks import eventually

from virtsupd.process.holders import arguments_of
from virtsupd.services.libvirt_held import ConsoleGuard, LockGuard, guest_name

WAITS = [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"]


@contextmanager
def process(*words: str, passed: tuple[int, ...] = (), errors: int | None = None) -> Iterator[int]:
    """Run a process with these words on its command line until the end of the context."""
    command = [*WAITS, *words]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors, pass_fds=passed)
    try:
        eventually(lambda: arguments_of(running.pid) == tuple(command), "the program's words")
        yield running.pid
    finally:
        running.communicate()


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["-name", "guest=web1,debug-threads=on", "-S"], "web1"),
        (["-S", "-name", "debug-threads=on,guest=a,,b c"], "a,b c"),
        (["-name", "guest=-x"], "-x"),
        (["-name", "guest=büro"], "büro"),
        (["find", "/", "-name", "web1"], None),
        (["-name"], None),
        ([], None),
    ],
)
def test_a_guest_is_named_as_libvirt_named_it_to_qemu(words: list[str], name: str | None) -> None:
    assert guest_name(words) == name


@pytest.mark.process
def test_guests_that_write_console_logs_are_named_along_with_the_way_out() -> None:
    read, write = os.pipe()
    with process(passed=(read,)) as virtlogd:
        assert ConsoleGuard().stop_harm(virtlogd) is None
        with (
            process("-name", "guest=web1,x=y", errors=write),
            process("-name", "guest=db1", errors=write),
            process(errors=write) as other,
        ):
            os.close(write)
            text = ConsoleGuard().stop_harm(virtlogd) or ""
            assert text.startswith("console logs of guests db1, web1 and pid ")
            assert f"pid {other} (" in text
            assert text.endswith("`virtsupctl reload virtlogd` renews it and keeps them")
            lost = ConsoleGuard().stop_loss(virtlogd) or ""
            assert lost.startswith("console logs of guests db1, web1 and pid ")
            assert text.startswith(lost)
    os.close(read)


@pytest.mark.process
def test_guests_whose_console_logs_nobody_reads_are_named() -> None:
    read, write = os.pipe()
    with process("-name", "guest=held-for-a-test", errors=write), process(errors=write):
        os.close(write)
        assert "held-for-a-test" not in (ConsoleGuard().harm_done() or "")
        os.close(read)
        eventually(
            lambda: "held-for-a-test" in (ConsoleGuard().harm_done() or ""), "a lost console log"
        )


@pytest.mark.process
def test_guests_that_hold_locks_are_named_and_nobody_else(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as guests,
        socket.socket(socket.AF_UNIX) as others,
    ):
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        accepted = []
        for client in (guests, others):
            client.connect(str(tmp_path / "socket"))
            accepted.append(listener.accept()[0])
        numbers = tuple(one.fileno() for one in accepted)
        with process(passed=numbers) as virtlockd, process(passed=(others.fileno(),)):
            assert LockGuard().stop_harm(virtlockd) is None
            with process("-name", "guest=db1,x=y", passed=(guests.fileno(),)):
                text = LockGuard().stop_harm(virtlockd) or ""
        for one in accepted:
            one.close()
    assert text.startswith("it holds locks of disks for guest db1, which ")
    assert "`virtsupctl reload virtlockd`" in text


@pytest.mark.process
def test_a_message_names_ten_guests_and_counts_the_rest() -> None:
    read, write = os.pipe()
    with process(passed=(read,)) as virtlogd:
        running = [
            subprocess.Popen(
                [*WAITS, "-name", f"guest=g{number:02}"], stdin=subprocess.PIPE, stderr=write
            )
            for number in range(12)
        ]
        os.close(write)
        eventually(
            lambda: "g08, g09, 2 more go" in (ConsoleGuard().stop_harm(virtlogd) or ""), "the rest"
        )
        for one in running:
            one.communicate()
    os.close(read)
