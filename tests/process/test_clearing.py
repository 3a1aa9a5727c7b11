"""The program that takes away what a process left that held entries; on entries see test_binfmt_service."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.binfmt_settings import registration

from virtsupd.binfmt.ownership import Owned, RecordFile

pytestmark = pytest.mark.process


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A directory that looks like a table without entries."""
    directory = tmp_path / "table"
    directory.mkdir()
    (directory / "status").write_text("enabled\n")
    (directory / "register").write_text("")
    return directory


def clear(record: Path, table: Path) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-I", "-m", "virtsupd.binfmt.clearing", str(record), str(table))
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_where_nothing_was_held_nothing_is_done(tmp_path: Path, table: Path) -> None:
    assert clear(tmp_path / "record.json", table).returncode == 0
    assert clear(tmp_path / "record.json", tmp_path / "none").returncode == 0
    assert [file.name for file in tmp_path.iterdir()] == ["table"]


def test_a_record_of_entries_that_are_gone_goes_too(tmp_path: Path, table: Path) -> None:
    file = RecordFile(tmp_path / "record.json", table)
    with file.locked() as record:
        record.entries["qemu-arm"] = Owned(registration("arm"), (0, 0, 0))
        file.save(record)
    assert clear(tmp_path / "record.json", table).returncode == 0
    assert [one.name for one in tmp_path.iterdir()] == ["table"]


def test_what_cannot_be_done_is_told_in_one_line(tmp_path: Path, table: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text("{}")
    (tmp_path / "record.json.lock").mkdir()
    found = clear(record, table)
    assert found.returncode == 1
    assert found.stderr.startswith("not all could be taken away: ")
    assert len(found.stderr.splitlines()) == 1
