"""What a successor is told of each service, and what becomes of files that it cannot use."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from tests.support.outputs import fill, small_disk

from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.snapshot import State
from virtsupd.core.spec import ServiceSpec
from virtsupd.process.lives import Life, epoch, life_of
from virtsupd.process.store import DirectoryStore
from virtsupd.supervisor.record import Record
from virtsupd.supervisor.records import VERSION, Records

WEB, APP = Name("web/1"), Name("app")
BOOT = "this boot"
LEADER = Life(7, 70, BOOT)


class DictStore:
    """Files in memory, on a disk that can be full."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.is_full = False
        self.writes: list[str] = []

    def names(self) -> list[str]:
        return sorted(self.files)

    def read(self, name: str) -> bytes:
        return self.files[name]

    def write(self, name: str, content: bytes) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        self.writes.append(name)
        self.files[name] = content

    def remove(self, name: str) -> None:
        self.files.pop(name, None)


@pytest.fixture
def store() -> DictStore:
    return DictStore()


@pytest.fixture
def records(store: DictStore) -> Records:
    return Records(store, BOOT)


def running(name: Name = WEB, **values: Any) -> Service:
    return Service(ServiceSpec(name, (name,)), State.RUNNING, generation=3, **values)


def following(store: DictStore, at: str = BOOT) -> Records:
    """Return what a successor has read."""
    return Records(store, at)


def test_nothing_is_known_at_first(records: Records, store: DictStore) -> None:
    assert records.kept() == {}
    assert records.record(WEB) is None
    records.flush()
    records.clear()
    assert store.files == {}


def test_what_was_kept_and_noted_is_known_to_the_next(records: Records, store: DictStore) -> None:
    records.keep(WEB, running(pid=7))
    records.begin(WEB, Record(3, Path("/x"), (1, 2)))
    records.note(WEB, LEADER, 7)
    records.flush()
    after = following(store)
    assert after.kept() == {WEB: running(pid=7)}
    assert after.record(WEB) == Record(3, Path("/x"), (1, 2), leader=LEADER, group=7)
    assert list(store.files) == ["web%2F1"]


def test_a_begin_is_written_at_once_with_what_was_kept(records: Records, store: DictStore) -> None:
    records.keep(WEB, running())
    assert store.files == {}
    records.begin(WEB, Record(3, None))
    assert following(store).record(WEB) == Record(3, None)
    assert following(store).kept() == {WEB: running()}
    records.flush()
    assert store.writes == ["web%2F1"], "nothing is written twice"


def test_of_a_start_that_nobody_began_nothing_is_noted(records: Records, store: DictStore) -> None:
    records.note(WEB, LEADER, 7)
    records.suspect(WEB, (LEADER,))
    records.end(WEB)
    records.flush()
    assert store.files == {}


def test_of_a_leader_that_has_ended_by_now_the_begin_is_kept(records: Records) -> None:
    records.begin(WEB, Record(3, None))
    records.note(WEB, None, 7)
    assert records.record(WEB) == Record(3, None)


def test_a_first_process_is_told_from_the_service_itself(
    records: Records, store: DictStore
) -> None:
    records.begin(WEB, Record(3, None, is_settled=False))
    records.note(WEB, LEADER, 7, is_settled=False)
    records.flush()
    found = following(store).record(WEB)
    assert found is not None
    assert (found.leader, found.is_settled) == (LEADER, False)
    records.note(WEB, Life(8, 80, BOOT), 7)
    records.flush()
    found = following(store).record(WEB)
    assert found is not None
    assert found.is_settled


def test_suspects_outlive_the_end_of_their_start(records: Records, store: DictStore) -> None:
    records.begin(WEB, Record(3, None))
    records.suspect(WEB, (LEADER,))
    records.flush()
    found = following(store).record(WEB)
    assert found is not None
    assert found.suspects == (LEADER,)


def test_after_an_end_the_state_is_kept_and_no_process(records: Records, store: DictStore) -> None:
    records.begin(WEB, Record(3, None))
    records.keep(WEB, running())
    records.end(WEB)
    records.flush()
    after = following(store)
    assert after.record(WEB) is None
    assert after.kept() == {WEB: running()}


def test_what_left_the_graph_is_forgotten(records: Records, store: DictStore) -> None:
    records.keep(WEB, running())
    records.flush()
    records.keep(WEB, running(pid=7))
    records.forget(WEB)
    records.flush()
    records.forget(WEB)
    assert store.files == {}


def test_a_renamed_service_is_never_without_a_record(records: Records, store: DictStore) -> None:
    records.keep(WEB, running())
    records.begin(WEB, Record(3, None))
    store.is_full = True
    records.move(WEB, APP)
    assert records.record(APP) == Record(3, None)
    assert following(store).record(WEB) == Record(3, None), "it could not be written anew"
    store.is_full = False
    records.flush()
    assert following(store).record(APP) == Record(3, None)
    other = Records(DictStore(), BOOT)
    other.begin(WEB, Record(3, None))
    other.move(WEB, APP)
    assert other.record(WEB) is None


# Files that cannot be used


def content(**changes: Any) -> bytes:
    whole = {"version": VERSION, "epoch": BOOT, "name": WEB, "service": {"state": "running"}}
    return json.dumps(whole | changes).encode()


def test_what_a_newer_version_adds_to_a_file_is_ignored(store: DictStore) -> None:
    store.files["web%2F1"] = content(colour="blue")
    assert following(store).kept()[WEB].state is State.RUNNING


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"{}",
        content(version=VERSION + 1),
        content(version=1),
        content(name="app"),
        content(name=5),
        content(service={"state": "flying"}),
        content(service=[]),
        content(start={}),
        content(start=[]),
        content(start={"generation": "x"}),
    ],
)
def test_what_cannot_be_used_is_told_and_left_alone_until_the_service_starts(
    store: DictStore, text: bytes
) -> None:
    store.files["web%2F1"] = text
    with structlog.testing.capture_logs() as logs:
        records = following(store)
    assert [(e["event"], e["file"], e["log_level"]) for e in logs] == [
        ("record of a service cannot be used", "web%2F1", "warning")
    ]
    assert records.kept() == {}
    assert records.is_unread(WEB)
    assert not records.is_unread(APP)
    records.keep(WEB, running())
    records.flush()
    records.clear()
    assert store.files == {"web%2F1": text}
    records.keep(WEB, running())
    records.begin(WEB, Record(3, None))
    assert not records.is_unread(WEB)
    assert following(store).record(WEB) == Record(3, None)


def test_a_file_that_cannot_be_used_may_be_taken_away(store: DictStore) -> None:
    store.files["web%2F1"] = b"{"
    records = following(store)
    del store.files["web%2F1"]
    assert not records.is_unread(WEB)


@pytest.mark.parametrize("version", [VERSION, VERSION + 1, 1])
def test_what_belongs_to_another_boot_is_void(store: DictStore, version: int) -> None:
    store.files["web%2F1"] = content(epoch="another boot", version=version)
    with structlog.testing.capture_logs() as logs:
        records = following(store)
    assert records.kept() == {}
    assert not records.is_unread(WEB)
    assert store.files == {}
    assert logs == []


# A disk that is full


def test_what_cannot_be_written_is_told_once_and_tried_again(
    records: Records, store: DictStore
) -> None:
    store.is_full = True
    records.keep(WEB, running())
    records.keep(APP, running(APP))
    with structlog.testing.capture_logs() as logs:
        records.flush()
        records.flush()
    assert [e["event"] for e in logs] == ["service could not be recorded"]
    assert records.trouble == (
        "the state of services could not be written down: No space left on device"
    )
    store.is_full = False
    records.flush()
    assert not records.trouble
    assert set(following(store).kept()) == {WEB, APP}


def test_the_trouble_ends_also_with_a_begin(records: Records, store: DictStore) -> None:
    store.is_full = True
    records.keep(WEB, running())
    records.flush()
    assert records.trouble
    store.is_full = False
    records.begin(WEB, Record(3, None))
    records.flush()
    assert records.trouble is None


def test_a_start_that_could_not_be_recorded_is_as_soon_as_there_is_room(
    records: Records, store: DictStore
) -> None:
    """A service with a cgroup of its own starts all the same, and has to be found then."""
    store.is_full = True
    records.keep(WEB, running())
    with pytest.raises(OSError, match="No space"):
        records.begin(WEB, Record(3, Path("/x")))
    records.note(WEB, LEADER, 7)
    store.is_full = False
    records.flush()
    found = following(store).record(WEB)
    assert found is not None
    assert (found.cgroup, found.leader) == (Path("/x"), LEADER)


def test_on_a_disk_that_fills_up_the_records_that_are_there_still_change(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=32) as disk:
        records = Records(DirectoryStore(disk / "records"), BOOT)
        records.keep(WEB, running())
        records.flush()
        filler = fill(disk)
        records.keep(WEB, running(pid=7))
        records.keep(APP, running(APP))
        records.flush()
        assert "No space" in (records.trouble or "")
        after = Records(DirectoryStore(disk / "records"), BOOT)
        assert after.kept() == {WEB: running(pid=7)}
        filler.unlink()
        records.flush()
        assert records.trouble is None


# The end of everything


@pytest.mark.parametrize(
    ("make", "stays"),
    [
        (lambda me: Record(3, None, leader=me, group=0), True),
        (lambda me: Record(3, None, leader=Life(me.pid, me.started - 1, me.epoch)), False),
        (lambda me: Record(3, None, suspects=(me,)), True),
        (lambda _: None, False),
    ],
)
def test_after_a_shutdown_only_what_still_lives_is_recorded(
    store: DictStore, make: Callable[[Life], Record | None], stays: bool
) -> None:
    records = Records(store, epoch())
    records.keep(WEB, running())
    me = life_of(os.getpid())
    assert me is not None
    record = make(me)
    if record is not None:
        records.begin(WEB, record)
    records.clear()
    assert bool(store.files) == stays
