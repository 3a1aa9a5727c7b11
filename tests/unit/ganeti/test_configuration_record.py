"""The record of what is ours."""

import json
from pathlib import Path

import pytest

from virtsupd.ganeti.configuration_record import Owned, RecordError, RecordFile, locked_record
from virtsupd.process.files import UnsafeDirectoryError

OWNED = {"/a": Owned(("sha256:1", "sha256:2"), "sha256:0"), "/b": Owned(("directory",))}


def test_it_is_read_as_it_was_written_by_root_alone_and_goes_with_the_last_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state/record"
    with locked_record(path) as record:
        assert record.load() == {}
        record.save(OWNED)
        assert record.load() == OWNED
        assert path.stat().st_mode & 0o777 == 0o600
        record.save({})
    assert list((tmp_path / "state").iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"version": 2, "paths": {}}', '{"version": 1, "paths": {"/a": 1}}']
)
def test_one_that_is_damaged_is_not_taken_for_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "record"
    path.write_text(text)
    with pytest.raises(RecordError, match=str(path)):
        RecordFile(path).load()
    assert path.read_text() == text


def test_one_that_somebody_else_could_have_written_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "record").write_text(json.dumps({"version": 1, "paths": {}}))
    tmp_path.chmod(0o777)
    with pytest.raises(UnsafeDirectoryError), locked_record(tmp_path / "record"):
        pass
