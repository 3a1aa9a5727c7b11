"""The settings are read as they were written."""

from pathlib import Path

from virtsupd.ganeti.configuration_settings import ConfigurationSettings
from virtsupd.process.settings_file import read_settings


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    settings = ConfigurationSettings(
        "/r", ("/a",), {"/a/b": "x\ny = z\u2028"}, {"/a/c": "/d"}, {"/a/l": "t"}, ("/a/b",)
    )
    (tmp_path / "settings").write_text(settings.text)
    assert read_settings(tmp_path / "settings", ConfigurationSettings) == settings
