import os
from pathlib import Path

import pytest

from virtsupd.config import files
from virtsupd.errors import ConfigError


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        files.read_toml(path)
    return caught.value.problems[0].removeprefix(str(path))


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[a]\nb = 1\n")
    assert files.read_toml(file) == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = 1\nb 2\n", ":2:3: expected '=' after a key"),
        (b"a = 1\na = 2\n", ":2:6: cannot overwrite a value"),
        (b"\na = ", ":2:5: invalid value"),
        (b'a = "x', ":1:7: unterminated string"),
        (b"a = 1\n\xff", ":2: not UTF-8"),
        (b"a = " + b"[" * 9000, ": nested too deeply"),
    ],
)
def test_a_syntax_error_names_line_and_column(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(content)
    assert refusal(file).startswith(said)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    next_step = "make it, or name another file with --config"
    missing = f": cannot be read: No such file or directory; {next_step}"
    assert refusal(tmp_path / "none.toml") == missing
    no_parent = f": cannot be read: there is no directory {tmp_path}/no; {next_step}"
    assert refusal(tmp_path / "no/none.toml") == no_parent
    assert refusal(tmp_path) == ": must be a regular file"
    fifo = tmp_path / "fifo.toml"
    os.mkfifo(fifo)
    assert refusal(fifo) == ": must be a regular file"
    assert "cannot be read" in refusal(tmp_path / "a\0b")
    # This file opens, and answers EIO when it is read from the start.
    assert refusal(Path("/proc/self/mem")) == ": cannot be read: Input/output error"


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    loop = tmp_path / "loop.toml"
    loop.symlink_to(loop)
    assert "cannot be read: Too many levels of symbolic links" in refusal(loop)


def test_a_file_that_is_too_big_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "big.toml"
    with file.open("wb") as stream:
        stream.truncate(files.MAX_FILE_BYTES + 1)
    assert refusal(file) == ": found 4194305 bytes, at most 4 MiB are read"


def test_drop_ins_are_sorted_and_nothing_else_is_taken(tmp_path: Path) -> None:
    directory = tmp_path / "host.toml.d"
    directory.mkdir()
    for name in ("20-b.toml", "10-a.toml", ".hidden.toml", "30-c.toml~", "readme"):
        (directory / name).touch()
    found = files.drop_ins(tmp_path / "host.toml")
    assert [path.name for path in found] == ["10-a.toml", "20-b.toml"]
    assert files.drop_ins(tmp_path / "other.toml") == []


def test_a_drop_in_directory_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "host.toml.d").touch()
    with pytest.raises(ConfigError, match=r"host.toml.d: cannot be read: Not a directory"):
        files.drop_ins(tmp_path / "host.toml")


def test_later_tables_win_key_by_key_and_lists_are_replaced() -> None:
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 1}
    over = {"a": {"y": [3], "z": 4}, "b": {"c": 5}}
    assert files.merged(base, over) == {"a": {"x": 1, "y": [3], "z": 4}, "b": {"c": 5}}
    assert base == {"a": {"x": 1, "y": [1, 2]}, "b": 1}


@pytest.mark.parametrize(
    ("key", "base", "over", "result"),
    [
        ("ready", {"kind": "tcp", "port": 80}, {"kind": "notify"}, {"kind": "notify"}),
        (
            "ready",
            {"kind": "tcp", "port": 80},
            {"timeout": 5},
            {"kind": "tcp", "port": 80, "timeout": 5},
        ),
        ("reload", {"signal": "HUP"}, {"command": ["x"]}, {"command": ["x"]}),
        ("ready", "notify", {"timeout": 5}, {"kind": "notify", "timeout": 5}),
        ("ready", {"kind": "tcp", "port": 80}, "notify", "notify"),
        ("reload", "HUP", {"timeout": 5}, {"signal": "HUP", "timeout": 5}),
        ("stop", {"signal": "INT"}, {"delay": 1}, {"signal": "INT", "delay": 1}),
    ],
)
def test_a_probe_of_another_kind_replaces_the_earlier_one(
    key: str, base: object, over: object, result: object
) -> None:
    assert files.merged({key: base}, {key: over}) == {key: result}
