"""The wire to the log keeper, where it fails."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import psutil
import pytest
from tests.support.outputs import PidfdWatcher, until

from virtsupd.process import keeper_link
from virtsupd.process.clock import SystemClock
from virtsupd.process.keeper_link import KeeperError, KeeperLink


def link_in(run_dir: Path, *, patience_seconds: float = 10.0) -> KeeperLink:
    return KeeperLink(
        run_dir, children=PidfdWatcher(), clock=SystemClock(), patience_seconds=patience_seconds
    )


@contextmanager
def listening(run_dir: Path) -> Iterator[socket.socket]:
    """Stand in for a keeper at its socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(run_dir / "keeper"))
        listener.listen()
        yield listener


async def accepted(
    listener: socket.socket, *, protocol: str = keeper_link.PROTOCOL
) -> socket.socket:
    """Accept a connection and greet it as a keeper does."""
    with anyio.fail_after(5):
        await anyio.wait_readable(listener)
    connection, _ = listener.accept()
    connection.setblocking(False)
    connection.send(b"keeper\0" + protocol.encode())
    return connection


async def test_a_keeper_that_cannot_start_is_a_warning_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "keeper.lock").mkdir()
    link = link_in(tmp_path)
    warnings: list[str | None] = []
    link.on_warning = warnings.append
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(link.run)
        await until(lambda: warnings, "a warning")
        (tmp_path / "keeper.lock").rmdir()
        await until(lambda: warnings[-1] is None, "an end of the warnings")
        await link.connected.wait()
        link.end()
    assert warnings[0] is not None
    assert warnings[0].startswith("log keeper cannot be started: log keeper: ")
    assert "Is a directory" in warnings[0]


async def test_a_missing_interpreter_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(KeeperError, match="No such file or directory"):
        await link_in(tmp_path)._start()


def test_a_large_file_of_old_errors_is_removed(tmp_path: Path) -> None:
    errors = tmp_path / "keeper.err"
    errors.write_bytes(bytes(keeper_link._KEEP_ERRORS_BYTES + 1))
    ready, ready_end = os.pipe()
    pid = link_in(tmp_path)._spawn(ready_end)
    os.close(ready_end)
    os.read(ready, 1)
    os.close(ready)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert errors.stat().st_size == 0


def test_what_is_sent_without_a_connection_is_dropped(tmp_path: Path) -> None:
    link = link_in(tmp_path)
    link.send("status")
    assert not link._unsent


async def test_a_keeper_that_hangs_up_is_connected_to_again(tmp_path: Path) -> None:
    with listening(tmp_path) as listener:
        link = link_in(tmp_path)
        connections: list[int] = []
        link.on_connected = lambda: connections.append(link.pid or 0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.run)
            (await accepted(listener)).close()
            with await accepted(listener):
                await until(lambda: len(connections) == 2, "a second connection")
                tasks.cancel_scope.cancel()
    assert connections == [os.getpid()] * 2


async def test_a_keeper_of_another_version_is_ended(tmp_path: Path) -> None:
    with listening(tmp_path) as listener:
        link = link_in(tmp_path)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.run)
            with await accepted(listener, protocol="0") as keeper:
                await anyio.wait_readable(keeper)
                assert keeper.recv(100) == b"end"
            with await accepted(listener):
                await link.connected.wait()
                tasks.cancel_scope.cancel()


async def test_more_than_the_socket_takes_is_sent_when_it_is_read(tmp_path: Path) -> None:
    with listening(tmp_path) as listener:
        link = link_in(tmp_path)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.run)
            keeper = await accepted(listener)
            await link.connected.wait()
            for number in range(5000):
                link.send("open", str(number), "x" * 1000)
            assert link._unsent
            heard: list[bytes] = []
            with anyio.fail_after(10):
                while len(heard) < 5000:
                    await anyio.wait_readable(keeper)
                    heard.append(keeper.recv(65536).split(b"\0")[1])
            tasks.cancel_scope.cancel()
            keeper.close()
    assert heard == [str(number).encode() for number in range(5000)]


async def test_a_run_directory_with_a_long_path_works(tmp_path: Path) -> None:
    run_dir = tmp_path / ("long" * 30)
    run_dir.mkdir()
    link = link_in(run_dir)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(link.run)
        await link.connected.wait()
        link.end()
    keeper_link.remove_traces(run_dir)
    run_dir.rmdir()


async def test_a_keeper_that_says_nothing_is_a_warning(tmp_path: Path) -> None:
    with listening(tmp_path):
        link = link_in(tmp_path, patience_seconds=0.05)
        warnings: list[str | None] = []
        link.on_warning = warnings.append
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.run)
            await until(lambda: warnings, "a warning")
            tasks.cancel_scope.cancel()
    assert warnings[0] == f"log keeper (pid {os.getpid()}) does not answer"


async def test_a_keeper_that_starts_too_slowly_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sluggish = tmp_path / "sluggish"
    sluggish.write_text("#!/bin/sh\nread nothing < fifo\n")
    sluggish.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(sluggish))
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    link = link_in(tmp_path, patience_seconds=0.05)
    with pytest.raises(KeeperError, match=r"it did not answer within 0\.05 s"):
        await link._start()
    fifo = os.open(tmp_path / "fifo", os.O_WRONLY)  # lets it end
    os.close(fifo)
    await until(lambda: not psutil.Process().children(), "its end")


async def test_an_end_that_nobody_could_be_told_yet_is_told_first(tmp_path: Path) -> None:
    link = link_in(tmp_path)
    with listening(tmp_path) as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.run)
            with anyio.fail_after(5):
                await anyio.wait_readable(listener)
            link.end()  # it is connected, and not greeted yet
            with await accepted(listener) as keeper, anyio.fail_after(5):
                await anyio.wait_readable(keeper)
                assert keeper.recv(100) == b"end"
            tasks.cancel_scope.cancel()
