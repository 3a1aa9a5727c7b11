"""The settings of the program that offers a machine to Guix."""

from pathlib import Path

import pytest

from virtsupd.machine.offload_settings import (
    OffloadSettings,
)
from virtsupd.process.settings_file import SettingsError, read_settings


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    settings = OffloadSettings("hurd-vm", 10022, "/etc/childhurd", ("i586-gnu",), threshold=1.8)
    (tmp_path / "settings").write_text(settings.text)
    assert read_settings(tmp_path / "settings", OffloadSettings) == settings


def test_what_another_version_wrote_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings").write_text("new = 1\n")
    with pytest.raises(SettingsError, match="not settings of this version"):
        read_settings(tmp_path / "settings", OffloadSettings)
