"""Messages of the log keeper."""

import pytest

from virtsupd.logkeeper.messages import Settings, decode, encode

OPEN = ["/run/f", "/log/f", "1000", "3600.0", "5", "zstd", "drop", "640"]


@pytest.mark.parametrize("fields", [["end"], ["open", "a", ""], ["trouble", "a", "voll: \udcff é"]])
def test_what_is_encoded_is_decoded(fields: list[str]) -> None:
    assert decode(encode(*fields)) == fields


def test_settings_are_read_from_the_fields_of_open() -> None:
    settings = Settings(OPEN)
    assert (settings.fifo, settings.file, settings.on_full) == ("/run/f", "/log/f", "drop")
    assert (settings.max_size, settings.max_age, settings.keep) == (1000, 3600.0, 5)
    assert settings.compress
    assert settings.mode == 0o640


@pytest.mark.parametrize("fields", [OPEN[:-1], [*OPEN, "more"], ["f", "l", "x", *OPEN[3:]]])
def test_wrong_fields_are_refused(fields: list[str]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the keeper hangs up on any
        Settings(fields)
