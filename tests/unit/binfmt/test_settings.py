"""The file of settings."""

from pathlib import Path

import pytest

from virtsupd.binfmt.settings import Settings
from virtsupd.process.settings_file import SettingsError, key_names, read_settings

SETTINGS = Settings(("arm", "aarch64"), "/run/x/record.json", "/opt/qemu", "F", "guix", 5.0, "/m")


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "qemu-binfmt.conf"
    file.write_text(SETTINGS.text)
    assert read_settings(file, Settings) == SETTINGS
    assert [platform.name for platform in SETTINGS.known] == ["arm", "aarch64"]
    assert SETTINGS.is_fixed
    assert all(line.split(" = ")[0] in key_names(Settings) for line in SETTINGS.text.splitlines())
    assert not Settings((), "r", flags="P").is_fixed


@pytest.mark.parametrize(
    "text", ["", "[]", "platforms = 1", 'platforms = []\nrecord = "x"\nnew = 1\n']
)
def test_what_is_damaged_or_of_another_version_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "qemu-binfmt.conf"
    file.write_text(text)
    with pytest.raises(SettingsError, match="not settings of this version"):
        read_settings(file, Settings)


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    file = tmp_path / "qemu-binfmt.conf"
    file.write_text(Settings(("arm",), "/r").text)
    assert "qemu" not in file.read_text()
    assert read_settings(file, Settings) == Settings(("arm",), "/r")
