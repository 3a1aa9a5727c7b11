"""The actions that put platforms on and take them off."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.binfmt_settings import plain_table, settings_file

from virtsupd.binfmt.entries import BinfmtError
from virtsupd.binfmt.holding import Holder
from virtsupd.binfmt.ownership import RecordFile
from virtsupd.binfmt.settings import Settings
from virtsupd.process.settings_file import read_settings
from virtsupd.services.binfmt_switch import switch


def settings(tmp_path: Path) -> Settings:
    table = plain_table(tmp_path / "table", "arm")
    return read_settings(Path(settings_file(tmp_path, "arm", "s390x", table=table)), Settings)


def test_a_platform_that_is_none_of_the_service_is_refused_with_those_that_are(
    tmp_path: Path,
) -> None:
    with pytest.raises(BinfmtError, match=r"sh4 is not among the platforms of .*: arm, s390x"):
        switch("unregister", settings(tmp_path), ["arm", "sh4"])


def test_what_is_taken_off_is_remembered_and_an_entry_of_others_is_left(tmp_path: Path) -> None:
    known = replace(settings(tmp_path), platforms=("arm",))
    Holder(known).start()
    assert switch("unregister", known, ["arm"]).endswith("or the next start: arm")
    table = tmp_path / "table"
    assert RecordFile(Path(known.record), table).read().taken_off == {"arm"}
    assert (table / "qemu-arm").exists()
