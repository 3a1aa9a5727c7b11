"""Files of settings are read as they were written, and nothing else is taken for one."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from virtsupd.process.settings_file import SettingsError, key_names, read_settings, settings_text


@dataclass(frozen=True)
class Wanted:
    name: str
    ports: tuple[int, ...] = ()
    limit: float | None = None


@pytest.mark.parametrize("wanted", [Wanted("a"), Wanted('b "\n', (1, 2), 1.5)])
def test_what_was_written_is_read(tmp_path: Path, wanted: Wanted) -> None:
    file = tmp_path / "settings"
    file.write_text(settings_text(wanted))
    assert read_settings(file, Wanted) == wanted


def test_there_is_a_line_for_each_key_that_says_something() -> None:
    assert settings_text(Wanted("a", (1,))) == 'name = "a"\nports = [1]\n'
    assert key_names(Wanted) == {"name", "ports", "limit"}


@pytest.mark.parametrize("text", ["", "nonsense\n", "name = a\n", 'name = "a"\nnew = 1\n'])
def test_what_another_version_wrote_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings").write_text(text)
    with pytest.raises(SettingsError, match="not settings of this version"):
        read_settings(tmp_path / "settings", Wanted)


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_settings(tmp_path / "settings", Wanted)
