"""The file of settings of a machine's image."""

from pathlib import Path

import pytest

from virtsupd.machine.image_settings import Settings
from virtsupd.process.settings_file import SettingsError, key_names, read_settings


def test_settings_come_back_as_they_were_written(tmp_path: Path) -> None:
    settings = Settings(
        "childhurd", "/var/lib/images", os='/a "b"\n.scm', size_bytes=5, group="kvm"
    )
    file = tmp_path / "settings"
    file.write_text(settings.text)
    assert read_settings(file, Settings) == settings
    assert {line.split(" = ")[0] for line in settings.text.splitlines()} <= key_names(Settings)


@pytest.mark.parametrize("text", ["machine", "machine = x", 'machine = "a"\n', 'colour = "red"\n'])
def test_a_damaged_file_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "settings"
    file.write_text(text)
    with pytest.raises(SettingsError, match="not settings of this version"):
        read_settings(file, Settings)
