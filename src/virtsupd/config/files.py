"""Reading TOML files with care, and laying one table over another."""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from virtsupd.errors import ConfigError

MAX_FILE_BYTES: Final = 4 * 1024 * 1024

_POSITION = re.compile(r"(.*) \(at line (\d+), column (\d+)\)\Z", re.DOTALL)
_REPLACED_BY: Final = {
    "ready": frozenset({"kind"}),
    "health": frozenset({"kind"}),
    "reload": frozenset({"signal", "command"}),
}
"""Tables that a later one replaces whole when it has one of these keys: another kind has other keys."""
_WORD_KEYS: Final = {"ready": "kind", "reload": "signal", "domain": "name"}
"""Tables that may be written as the bare value of one key."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a file.

    Raises:
        ConfigError: it cannot be read, is no regular file, too big, not UTF-8 or not TOML; one
            problem, with line and column where there are any.
    """
    content = _read(path)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError((f"{path}:{line}: not UTF-8",)) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((_syntax_problem(path, text, str(error)),)) from error
    except RecursionError as error:
        raise ConfigError((f"{path}: nested too deeply",)) from error


def drop_ins(path: Path) -> list[Path]:
    """Return the files `PATH.d/*.toml`, sorted by name; none if there is no such directory.

    Raises:
        ConfigError: the directory cannot be read.
    """
    return toml_files(path.with_name(f"{path.name}.d"))


def toml_files(directory: Path) -> list[Path]:
    """Return the files `*.toml` of a directory, sorted by name; none if it does not exist.

    Raises:
        ConfigError: the directory cannot be read.
    """
    try:
        names = sorted(name for name in os.listdir(directory) if _is_configuration(name))  # noqa: PTH208 - names are sorted and filtered before any Path is made
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError((f"{directory}: cannot be read: {error.strerror}",)) from error
    return [directory / name for name in names]


def merged(
    base: Mapping[str, Any], over: Mapping[str, Any], *, named: str = ""
) -> Mapping[str, Any]:
    """Return `base` with `over` laid over it, key by key; arrays are replaced, never joined.

    `named` is the key that both stand under: a `ready`, `health` or `reload` that says anew what it
    is replaces the earlier one whole.
    """
    if _REPLACED_BY.get(named, frozenset()) & over.keys():
        return over
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if key in _WORD_KEYS and isinstance(below, str):
            below = {_WORD_KEYS[key]: below}
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[key] = merged(below, value, named=key)
        else:
            result[key] = value
    return result


def _is_configuration(name: str) -> bool:
    return name.endswith(".toml") and not name.startswith(".")


def _read(path: Path) -> bytes:
    try:
        # A FIFO would block an open for reading; O_NONBLOCK does nothing to a regular file.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        why = _reason(error) if path.parent.is_dir() else f"there is no directory {path.parent}"
        text = f"{path}: cannot be read: {why}; make it, or name another file with --config"
        raise ConfigError((text,)) from error
    except (OSError, ValueError) as error:
        raise ConfigError((f"{path}: cannot be read: {_reason(error)}",)) from error
    try:
        return _content(path, descriptor)
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {_reason(error)}",)) from error
    finally:
        os.close(descriptor)


def _content(path: Path, descriptor: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError((f"{path}: must be a regular file",))
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES // 1024**2
        raise ConfigError((f"{path}: found {status.st_size} bytes, at most {limit} MiB are read",))
    return content


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _syntax_problem(path: Path, text: str, message: str) -> str:
    found = _POSITION.match(message)
    if found is not None:
        return f"{path}:{found[2]}:{found[3]}: {_lower(found[1])}"
    line = text.count("\n") + 1
    column = len(text) - (text.rfind("\n") + 1) + 1
    return f"{path}:{line}:{column}: {_lower(message.removesuffix(' (at end of document)'))}"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
