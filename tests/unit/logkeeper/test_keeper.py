"""The keeper turn by turn, driven through its socket as virtsupd does it."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virtsupd.logkeeper.keeper import AlreadyKeptError, Keeper, _take_lock
from virtsupd.logkeeper.messages import PROTOCOL, decode, encode

TURNS = 200


class Bench:
    """A keeper, a connection to it, and one service's FIFO."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.keeper = Keeper("")
        self.peers: list[socket.socket] = []
        self.connect()
        self.fifo = directory / "fifo"
        os.mkfifo(self.fifo)
        self.writer = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK)
        self.file = directory / "a.log"

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect("keeper")
        connection.setblocking(False)
        self.peers.append(connection)
        self.connection = connection
        assert self.hear() == ["keeper", PROTOCOL]
        return connection

    def open(self, name: str = "a", **changed: str) -> list[str]:
        fields = {
            "fifo": str(self.fifo),
            "file": str(self.file),
            "max_size": "0",
            "max_age": "0",
            "keep": "5",
            "compress": "none",
            "on_full": "drop",
            "mode": "640",
        }
        return self.ask("open", name, *(fields | changed).values())

    def ask(self, *fields: str) -> list[str]:
        """Send a request and return the next message."""
        self.connection.send(encode(*fields))
        return self.hear()

    def hear(self) -> list[str]:
        """Let the keeper work until it says something; [] is the end of the connection."""
        for _ in range(TURNS):
            try:
                datagram = self.connection.recv(65536)
            except BlockingIOError:
                self.keeper.turn()
            else:
                return decode(datagram) if datagram else []
        raise AssertionError("the keeper says nothing")

    def turn_until(self, fact: Callable[[], object]) -> None:
        for _ in range(TURNS):
            if fact():
                return
            self.keeper.turn()
        raise AssertionError("the keeper does not do it")

    def text(self) -> str:
        return self.file.read_text() if self.file.exists() else ""

    def close(self) -> None:
        self.keeper.close()
        os.close(self.writer)
        for peer in self.peers:
            peer.close()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.chdir(tmp_path)
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_an_opened_log_is_written(bench: Bench) -> None:
    assert bench.open() == ["trouble", "a", ""]
    os.write(bench.writer, b"one\n")
    bench.turn_until(lambda: bench.text() == "one\n")
    os.write(bench.writer, b"two\n")
    bench.turn_until(lambda: bench.text() == "one\ntwo\n")


def test_opening_again_changes_nothing_but_what_is_asked(bench: Bench) -> None:
    bench.open()
    assert bench.open() == ["trouble", "a", ""]
    os.write(bench.writer, b"one\n")
    other = bench.directory / "b.log"
    assert bench.open(file=str(other)) == ["trouble", "a", ""]
    assert bench.text() == "one\n"
    os.write(bench.writer, b"two\n")
    assert bench.ask("drain", "a", "1") == ["drained", "a", "1"]
    assert (bench.text(), other.read_text()) == ("one\n", "two\n")


def test_a_fifo_made_anew_is_opened(bench: Bench) -> None:
    bench.open()
    bench.fifo.unlink()
    os.mkfifo(bench.fifo)
    writer = os.open(bench.fifo, os.O_RDWR)
    assert bench.open() == ["trouble", "a", ""]
    os.write(writer, b"new\n")
    os.close(writer)
    assert bench.ask("drain", "a", "7") == ["drained", "a", "7"]
    assert bench.text() == "new\n"


def test_a_missing_fifo_is_a_trouble(bench: Bench) -> None:
    gone = str(bench.directory / "gone")
    assert bench.open(fifo=gone) == [
        "trouble",
        "a",
        f"log cannot be kept: {gone}: No such file or directory",
    ]


def test_close_empties_the_fifo_first(bench: Bench) -> None:
    bench.open()
    os.write(bench.writer, b"last words\n")
    os.close(bench.writer)
    assert bench.ask("close", "a") == ["closed", "a"]
    assert bench.text() == "last words\n"
    assert bench.ask("close", "a") == ["closed", "a"]
    assert not bench.keeper._logs
    bench.writer = os.open(os.devnull, os.O_WRONLY)


def test_a_closed_log_is_kept_while_somebody_writes_to_it(bench: Bench) -> None:
    bench.open()
    bench.connection.send(encode("close", "a"))
    os.write(bench.writer, b"of a guest\n")
    bench.turn_until(lambda: bench.text() == "of a guest\n")
    bench.keeper._look_at = 0.0
    bench.keeper.turn()
    os.write(bench.writer, b"last words\n")
    os.close(bench.writer)
    bench.keeper._look_at = 0.0
    assert bench.hear() == ["closed", "a"]
    assert bench.text() == "of a guest\nlast words\n"
    assert not bench.keeper._logs
    bench.writer = os.open(os.devnull, os.O_WRONLY)


def test_a_log_that_is_opened_again_is_not_closed(bench: Bench) -> None:
    bench.open()
    bench.connection.send(encode("close", "a"))
    bench.turn_until(lambda: bench.keeper._closing)
    bench.open(keep="7")
    assert bench.keeper._seconds_left() is None
    assert not bench.keeper._closing


def test_a_fifo_that_was_renamed_is_let_go_of_at_once(bench: Bench) -> None:
    bench.open()
    bench.fifo.rename(bench.directory / "heir")
    assert bench.ask("close", "a") == ["closed", "a"]
    (bench.directory / "heir").rename(bench.fifo)


def test_all_requests_that_wait_are_taken_in_one_turn(bench: Bench) -> None:
    for number in range(5):
        bench.connection.send(encode("drain", "a", str(number)))
    bench.keeper.turn()
    heard = [decode(bench.connection.recv(65536))[2] for _ in range(5)]
    assert heard == ["0", "1", "2", "3", "4"]


def test_drain_of_an_unknown_log_is_answered(bench: Bench) -> None:
    assert bench.ask("drain", "b", "1") == ["drained", "b", "1"]


def test_rotated_files_are_compressed(bench: Bench) -> None:
    bench.open(compress="zstd", max_size="1")
    os.write(bench.writer, b"one\n")
    bench.turn_until(Path(f"{bench.file}.1.zst").exists)
    assert not Path(f"{bench.file}.1").exists()


def test_what_stays_uncompressed_is_said(bench: Bench) -> None:
    plain = bench.directory / "a.log.1"
    plain.touch()
    os.truncate(plain, 1 << 32)  # long enough to be killed over
    bench.open(compress="zstd")
    os.kill(bench.keeper._compressor._child, 9)
    warning = f"{bench.file}: a rotated file could not be compressed and stays as it is"
    assert bench.hear() == ["warning", warning]


def test_trouble_is_told_when_it_comes_and_goes(bench: Bench) -> None:
    bench.file.mkdir()
    trouble = f"log cannot be written: {bench.file}: not a regular file"
    assert bench.open(on_full="block") == ["trouble", "a", trouble]
    os.write(bench.writer, b"waits\n")
    bench.file.rmdir()
    assert bench.hear() == ["trouble", "a", ""]
    assert bench.text() == "waits\n"


def test_age_wakes_the_keeper_by_itself(bench: Bench) -> None:
    bench.open(max_age="0.05")
    os.write(bench.writer, b"one\n")
    bench.turn_until(Path(f"{bench.file}.1").exists)
    assert bench.keeper._seconds_left() is None


def test_a_newer_connection_replaces_the_older(bench: Bench) -> None:
    bench.open()
    older = bench.connection
    bench.connect()
    assert bench.open() == ["trouble", "a", ""]
    assert older.recv(10) == b""


@pytest.mark.parametrize("request_fields", [["nonsense"], ["open", "a"], ["drain", "a"], ["close"]])
def test_what_is_no_request_ends_the_connection_alone(
    bench: Bench, request_fields: list[str]
) -> None:
    bench.open()
    assert bench.ask(*request_fields) == []
    bench.connect()
    assert bench.ask("drain", "a", "1") == ["drained", "a", "1"]
    assert list(bench.keeper._logs) == ["a"]


def test_a_peer_that_left_is_forgotten(bench: Bench) -> None:
    bench.open()
    bench.connection.send(encode("drain", "a", "1"))
    bench.connection.close()
    bench.connect()
    assert bench.ask("drain", "a", "1") == ["drained", "a", "1"]
    assert list(bench.keeper._logs) == ["a"]


def test_answers_wait_for_a_peer_that_reads_late(bench: Bench) -> None:
    bench.open()
    for _ in range(3000):
        bench.keeper._send("warning", "x" * 1000)
    heard = [bench.hear() for _ in range(3000)]
    assert heard == [["warning", "x" * 1000]] * 3000


def test_a_peer_that_never_reads_is_hung_up_on(bench: Bench) -> None:
    bench.open()
    for _ in range(20_000):
        bench.keeper._send("warning", "x" * 1000)
    assert bench.keeper._connection is None


def test_the_socket_is_for_its_owner_alone(bench: Bench) -> None:
    assert (bench.directory / "keeper").stat().st_mode & 0o777 == 0o600


def test_end_ends_the_loop(bench: Bench) -> None:
    bench.connection.send(encode("end"))
    bench.turn_until(lambda: bench.keeper._is_ending)


def look_around(bench: Bench) -> None:
    """Leave the keeper alone, and let the time of its next look come."""
    bench.connection.close()
    bench.turn_until(lambda: bench.keeper._connection is None)
    bench.keeper._look_at = 0.0
    bench.keeper.turn()


def remove_run_dir(bench: Bench) -> None:
    for entry in ("keeper", "keeper.lock", "fifo"):
        (bench.directory / entry).unlink()


def test_a_keeper_that_nobody_can_find_or_needs_ends(bench: Bench) -> None:
    bench.open()
    os.write(bench.writer, b"last words\n")
    remove_run_dir(bench)
    os.close(bench.writer)
    look_around(bench)
    assert bench.text() == "last words\n"
    bench.keeper._look_at = 0.0
    bench.keeper.turn()
    assert bench.keeper._is_ending
    bench.writer = os.open(os.devnull, os.O_WRONLY)


def test_a_log_that_nobody_needs_is_not_made_anew(bench: Bench) -> None:
    bench.open()
    remove_run_dir(bench)
    os.close(bench.writer)
    bench.file.unlink()
    look_around(bench)
    assert bench.keeper._is_ending
    assert not bench.file.exists()
    bench.writer = os.open(os.devnull, os.O_WRONLY)


def test_what_a_service_holds_is_kept_though_nobody_can_ask_for_it(bench: Bench) -> None:
    bench.open()
    remove_run_dir(bench)
    look_around(bench)
    os.write(bench.writer, b"still here\n")
    bench.turn_until(lambda: bench.text() == "still here\n")
    assert not bench.keeper._is_ending


def test_a_keeper_that_can_be_found_waits_for_its_next_virtsupd(bench: Bench) -> None:
    bench.open()
    look_around(bench)
    assert not bench.keeper._is_ending
    bench.connect()
    assert bench.ask("drain", "a", "1") == ["drained", "a", "1"]
    assert list(bench.keeper._logs) == ["a"]


def test_a_socket_that_took_the_place_of_its_own_stays(bench: Bench) -> None:
    bench.connect()
    successor = bench.directory / "keeper"
    successor.unlink()
    successor.touch()
    bench.keeper.close()
    assert successor.exists()
    successor.unlink()
    bench.keeper = Keeper("")


def test_a_second_keeper_is_refused(bench: Bench) -> None:
    child = os.fork()  # locks are a process's: our own would be granted again
    if not child:
        try:
            _take_lock()
        except AlreadyKeptError:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_another_user_is_turned_away(bench: Bench) -> None:
    bench.directory.chmod(0o755)
    (bench.directory / "keeper").chmod(0o666)
    child = os.fork()
    if not child:
        try:
            os.setuid(65534)
            stranger = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stranger.connect("keeper")
            os._exit(7 if stranger.recv(100) == b"" else 1)
        finally:
            os._exit(2)
    bench.keeper.turn()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert bench.open() == ["trouble", "a", ""]
