import tomllib

import pytest

from virtsupd.config.toml_text import dotted, key_text, string_text, value_text


@pytest.mark.parametrize(
    "text", ["", 'a"b', "back\\slash", "tab\tline\n", "\x00\x1f\x7f", "grün 🐟"]
)
def test_strings_read_back(text: str) -> None:
    assert tomllib.loads(f"x = {string_text(text)}") == {"x": text}
    assert tomllib.loads(f"{key_text(text)} = 1") == {text: 1}


def test_keys_are_quoted_only_where_they_must_be() -> None:
    assert key_text("on_term") == "on_term"
    assert key_text("a.b") == '"a.b"'


def test_paths_count_positions_from_one() -> None:
    assert dotted(("service", "a/b", "sockets", 0, "listen")) == 'service."a/b".sockets[1].listen'
    assert dotted(()) == ""


@pytest.mark.parametrize(
    "value", [True, False, 3, 2.5, "x", [], ["a", 1], {}, {"a b": {"c": [True]}, "d": "e"}]
)
def test_values_read_back(value: object) -> None:
    assert tomllib.loads(f"x = {value_text(value)}") == {"x": value}


def test_what_toml_lacks_is_shown_as_python_has_it() -> None:
    assert value_text(None) == "None"
