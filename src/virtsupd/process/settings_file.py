"""Settings of virtsupd's own programs, as files of lines `key = value` with values of JSON.

One line for each key, so that a changed key can be told from the others.
"""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from virtsupd.errors import VirtsupdError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Settings = TypeVar("_Settings", bound="DataclassInstance")


class SettingsError(VirtsupdError):
    """A file of settings cannot be understood; nothing was done."""

    code = "bad-settings"


def settings_text(settings: "DataclassInstance") -> str:
    """Return the content of the file; what is None is left out."""
    said = {key: value for key, value in asdict(settings).items() if value is not None}
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in said.items())


def key_names(kind: "type[DataclassInstance]") -> frozenset[str]:
    """Return all keys that a file of such settings can have."""
    return frozenset(field.name for field in fields(kind))


def read_settings(path: Path, kind: type[_Settings]) -> _Settings:
    """Return what a file says; a list becomes a tuple.

    Raises:
        SettingsError: it is damaged, or of another version.
        OSError: it cannot be read.
    """
    try:
        lines = (line.split(" = ", 1) for line in path.read_text(encoding="utf-8").splitlines())
        return kind(**{key: _plain(json.loads(value)) for key, value in lines})
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{path}: not settings of this version: {error}") from error


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
