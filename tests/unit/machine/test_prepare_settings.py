"""The settings of the program that prepares a machine."""

from pathlib import Path

import pytest

from virtsupd.machine.prepare_settings import (
    PrepareSettings,
)
from virtsupd.process.settings_file import SettingsError, read_settings


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    settings = PrepareSettings(
        "hurd-vm", "childhurd", "kvm", "/etc/childhurd", has_signing_key=False
    )
    file = tmp_path / "settings"
    file.write_text(settings.text)
    assert read_settings(file, PrepareSettings) == settings


@pytest.mark.parametrize("text", ["nonsense", "user = 1\nnew = 2\n", 'user = "a\n'])
def test_what_another_version_wrote_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings").write_text(text)
    with pytest.raises(SettingsError, match="not settings of this version"):
        read_settings(tmp_path / "settings", PrepareSettings)
