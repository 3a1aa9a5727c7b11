"""The record of which entries are ours."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.binfmt_settings import plain_table, registration

from virtsupd.binfmt.entries import Entry, Instance
from virtsupd.binfmt.hearing import CutShortError
from virtsupd.binfmt.ownership import LockedError, Owned, PutBack, Record, RecordFile

ARM = registration("arm")
FILE = (1, 2, 3)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Make a directory that stands for a table with an entry for arm."""
    return Path(plain_table(tmp_path / "table", "arm"))


@pytest.fixture
def record_file(tmp_path: Path, table: Path) -> RecordFile:
    """Give each test a record that does not exist yet."""
    return RecordFile(tmp_path / "record.json", table)


def arm(table: Path) -> Entry:
    entry = Instance(table).entry("qemu-arm")
    assert entry is not None
    return entry


def test_without_a_record_nothing_is_ours(record_file: RecordFile, table: Path) -> None:
    assert not record_file.read().owns(arm(table))


def test_what_was_saved_is_read(record_file: RecordFile, table: Path) -> None:
    with record_file.locked() as record:
        record.entries["qemu-arm"] = Owned(ARM, FILE, arm(table).identity)
        record.entries["qemu-sh4"] = Owned(registration("sh4"), FILE)
        record.taken_off.add("s390x")
        record.put_back["arm"] = PutBack(3, 12.5)
        record_file.save(record)
    assert record_file.read() == record
    assert record_file.read().owns(arm(table))


def test_what_was_begun_and_is_as_it_was_meant_is_ours(table: Path) -> None:
    made = arm(table)
    record = Record(0, {"qemu-arm": Owned(ARM, FILE, begun=made.changed - 1000)})
    assert record.owns(made)
    assert not record.owns(replace(made, interpreter="/usr/bin/other"))


def test_what_was_begun_is_not_what_was_there_before_or_came_later(table: Path) -> None:
    """We died before we could look: somebody else may have made just such an entry since."""
    made, second = arm(table), 10**9
    for begun in (made.changed + second, made.changed - 60 * second):
        assert not Record(0, {"qemu-arm": Owned(ARM, FILE, begun=begun)}).owns(made)


def test_what_somebody_made_anew_is_not_ours_however_alike(table: Path) -> None:
    record = Record(0, {"qemu-arm": Owned(ARM, FILE, arm(table).identity)})
    assert record.owns(arm(table))
    assert not record.owns(replace(arm(table), identity=(0, 1)))
    assert not record.owns(replace(arm(table), interpreter="/usr/bin/other"))


def test_an_entry_of_ours_that_is_switched_off_stays_ours(table: Path) -> None:
    record = Record(0, {"qemu-arm": Owned(ARM, FILE, arm(table).identity)})
    assert record.owns(replace(arm(table), is_enabled=False))


@pytest.mark.parametrize(("key", "taken_off"), [("boot", set()), ("device", {"sh4"})])
def test_of_another_boot_or_table_nothing_is_ours(
    tmp_path: Path, record_file: RecordFile, key: str, taken_off: set[str]
) -> None:
    device = record_file.read().device
    owned = {"qemu-arm": Owned(ARM, FILE)}
    record_file.save(Record(device, owned, taken_off={"sh4"}, is_held=True))
    said = json.loads((tmp_path / "record.json").read_text())
    said[key] = "other"
    (tmp_path / "record.json").write_text(json.dumps(said))
    found = record_file.read()
    is_other = key == "device"
    expected = Record(device, taken_off=taken_off, is_held=is_other, is_of_another=is_other)
    assert found == expected


def test_while_nothing_is_held_there_is_no_record_and_no_lock(
    tmp_path: Path, record_file: RecordFile
) -> None:
    with record_file.locked() as record:
        record.is_held = True
        record_file.save(record)
    assert {file.name for file in tmp_path.glob("record*")} == {"record.json", "record.json.lock"}
    with record_file.locked() as record:
        record.is_held = False
        record_file.save(record)
    assert list(tmp_path.glob("record*")) == []


def test_one_at_a_time_holds_the_lock_though_it_comes_and_goes(record_file: RecordFile) -> None:
    """Each counts up in a file; were two at work at once, a count would be lost."""
    counter = record_file.read()
    turns = 60

    def count() -> None:
        for _ in range(turns):
            with record_file.locked():
                before = counter.device
                os.sched_yield()
                counter.device = before + 1

    first = counter.device
    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=15)
    assert counter.device == first + 4 * turns


def test_whoever_keeps_the_lock_is_named_and_is_not_waited_for_for_ever(
    tmp_path: Path, table: Path
) -> None:
    file = RecordFile(tmp_path / "record.json", table, seconds=0.1)
    with file.locked() as record:
        record.is_held = True
        file.save(record)
        assert file.read().is_held, "who only reads needs no lock"
        named = f"record.json.lock: locked for .* by process {os.getpid()};"
        with pytest.raises(LockedError, match=named), file.locked():
            pass
    with file.locked() as record:
        assert record.is_held


def test_the_lock_is_waited_for_no_longer_when_something_else_is_to_be_done(
    record_file: RecordFile,
) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"stop")
    try:
        with record_file.locked(until=reading) as record:  # which is free, so it is not waited for
            assert record.entries == {}
            with pytest.raises(CutShortError), record_file.locked(until=reading):
                pass
    finally:
        os.close(reading)
        os.close(writing)


def damaged() -> list[str]:
    whole: dict[str, object] = {
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "device": 1,
        "entries": {},
        "taken_off": [],
        "put_back": {},
        "is_held": True,
    }
    owned = {"magic": "00", "mask": "00", "interpreter": "/x", "flags": "", "begun": 1}
    owned["file"] = [1, 2, 3]
    entries: list[dict[str, object]] = [
        {"../status": owned | {"identity": None}},
        {"qemu-arm": owned | {"identity": [1]}},
        {"qemu-arm": owned | {"identity": None, "magic": "x"}},
        {"qemu-arm": owned | {"identity": None, "file": 5}},
    ]
    records = [whole | {"entries": one} for one in entries]
    records += [whole | {"entries": []}, whole | {"put_back": {"arm": [float("inf"), 1]}}]
    return ["", "[]", "{}", '{"boot": 1', '"x"', *map(json.dumps, records)]


@pytest.mark.parametrize("text", damaged())
def test_a_damaged_record_is_named_and_nothing_is_ours(
    tmp_path: Path, record_file: RecordFile, text: str
) -> None:
    (tmp_path / "record.json").write_text(text)
    found = record_file.read()
    assert found.entries == {}
    assert found.damage.startswith(f"{tmp_path / 'record.json'}: not understood, so no entry is")


def test_the_record_is_for_us_alone_and_no_link_is_followed(
    tmp_path: Path, record_file: RecordFile
) -> None:
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / "record.json").symlink_to(tmp_path / "elsewhere")
    record_file.save(Record(0, is_held=True))
    assert (tmp_path / "elsewhere").read_text() == "kept"
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "record.json.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"), record_file.locked():
        pass
