"""What is refused or left alone, where a directory stands for the kernel's table."""

from pathlib import Path

import pytest
from tests.support.binfmt_settings import plain_table

from virtsupd.binfmt.holding import Holder, HoldError
from virtsupd.binfmt.settings import Settings


def holder(tmp_path: Path, table: str, *platforms: str, flags: str = "FP") -> Holder:
    record = str(tmp_path / "record.json")
    return Holder(Settings(platforms, record, flags=flags, directory=table), lambda: 100.0)


def content(table: str) -> dict[str, str]:
    return {file.name: file.read_text() for file in Path(table).iterdir()}


def test_an_entry_under_our_name_that_differs_is_not_touched_and_named(tmp_path: Path) -> None:
    table = plain_table(tmp_path / "table", "arm")
    entry = Path(table) / "qemu-arm"
    entry.write_text(entry.read_text().replace("enabled", "disabled"))
    before = content(table)
    with pytest.raises(HoldError, match="'arm': its programs do not run: ") as caught:
        holder(tmp_path, table, "s390x", "arm", flags="F").put_all()
    assert "qemu-arm is registered by somebody else" in str(caught.value)
    assert "interpreter /usr/bin/qemu-arm-static, flags PF, switched off" in str(caught.value)
    assert f"echo -1 >{table}/qemu-arm" in str(caught.value)
    assert content(table) == before


def test_an_entry_under_our_name_that_differs_may_serve(tmp_path: Path) -> None:
    table = plain_table(tmp_path / "table", "arm")
    before = content(table)
    held = holder(tmp_path, table, "arm", flags="F")
    found = held.look()
    assert found.foreign["arm"].startswith("qemu-arm is registered by somebody else")
    assert (found.missing, found.put_back) == ({}, [])
    held.take_all_away()
    assert content(table) == before


def test_no_other_table_is_written_to_than_the_one_that_is_held(tmp_path: Path) -> None:
    table = plain_table(tmp_path / "table")
    held = holder(tmp_path, table, "arm")
    held.take_table()
    assert held.has_table()
    held.device = 0  # of what was mounted there before
    assert not held.has_table()
    for work in (held.start, held.put_all, held.look, held.take_all_away):
        with pytest.raises(HoldError, match="another table is mounted at"):
            work()
    assert content(table) == content(plain_table(tmp_path / "same"))


def test_a_platform_is_not_put_on_in_another_table_than_the_service_holds(tmp_path: Path) -> None:
    table = plain_table(tmp_path / "table")
    held = holder(tmp_path, table, "arm")
    held.start()
    record = tmp_path / "record.json"
    device = Path(table).stat().st_dev
    record.write_text(record.read_text().replace(f'"device": {device}', '"device": 0'))
    [arm] = held.settings.known
    for work in (held.put_on, held.take_off):
        with pytest.raises(HoldError, match="is not the one that is mounted here"):
            work([arm])


def test_what_somebody_entered_just_so_serves_and_is_left(tmp_path: Path) -> None:
    table = plain_table(tmp_path / "table", "arm")
    before = content(table)
    held = holder(tmp_path, table, "arm")
    assert held.start() == ""
    assert held.look().remarks == {"arm": "registered by somebody else, just so"}
    held.take_all_away()
    assert content(table) == before


def test_a_missing_emulator_is_named_before_anything_is_done(tmp_path: Path) -> None:
    table = plain_table(tmp_path / "table")
    before = content(table)
    settings = Settings(
        ("arm",), str(tmp_path / "record.json"), qemu=str(tmp_path), directory=table
    )
    with pytest.raises(HoldError, match="'arm': "):
        Holder(settings).put_all()
    assert content(table) == before


def test_whoever_takes_the_same_programs_is_reported(tmp_path: Path) -> None:
    table = plain_table(tmp_path / "table", "arm")
    (Path(table) / "other").write_text((Path(table) / "qemu-arm").read_text())
    found = holder(tmp_path, table, "arm").look()
    assert found.remarks["arm"].startswith("registered by somebody else")
    (Path(table) / "qemu-arm").unlink()
    found = holder(tmp_path, table, "arm").look({"arm": "somebody keeps removing it"})
    assert found.missing == {"arm": "somebody keeps removing it"}
    assert found.remarks == {
        "arm": "other of somebody else takes its programs, too: /usr/bin/qemu-arm-static"
    }


def test_a_platform_that_is_left_alone_and_there_is_registered(tmp_path: Path) -> None:
    table = plain_table(tmp_path / "table", "arm")
    found = holder(tmp_path, table, "arm").look({"arm": "somebody keeps removing it"})
    assert found.missing == {}


def test_nothing_is_put_on_or_taken_off_while_the_service_is_stopped(tmp_path: Path) -> None:
    held = holder(tmp_path, plain_table(tmp_path / "table"), "arm")
    for switch in (held.put_on, held.take_off):
        with pytest.raises(HoldError, match="the service is not started"):
            switch(held.settings.known)
    assert list(tmp_path.glob("record*")) == []


def test_a_record_that_is_not_understood_is_told_and_written_anew(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("x")
    held = holder(tmp_path, plain_table(tmp_path / "table", "arm"), "arm")
    assert "record.json: not understood" in held.start()
    assert held.look().damage == ""
