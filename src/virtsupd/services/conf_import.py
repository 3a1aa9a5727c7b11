"""From the file of one of libvirt's daemons to the table that makes the daemon behave as with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from virtsupd.config.model import KindTable
from virtsupd.config.problems import Layer, validation_problems
from virtsupd.errors import ConfigError
from virtsupd.services.libvirt import LibvirtTable
from virtsupd.services.render import ConfKey, marked
from virtsupd.services.virconf import Setting, parse
from virtsupd.services.virtlock import VirtlockTable

TableT = TypeVar("TableT", bound=KindTable)

_BOOLS: Final = {0: False, 1: True}
_DEFAULTS: Final[Mapping[type[KindTable], Mapping[str, object]]] = {
    LibvirtTable: {
        "unix_sock_admin_perms": "0700",
        "admin_min_workers": 5,
        "admin_max_workers": 20,
        "admin_max_clients": 5000,
        "admin_max_queued_clients": 20,
    },
    VirtlockTable: {"admin_max_clients": 5000},
}
"""What libvirt 9.0 does without a key, where the specification's default is another."""
_EMPTY: Final = ("log_filters", "tls_priority", "listen_addr")
"""What is empty in each of them that has it."""


@dataclass(frozen=True, slots=True)
class Imported(Generic[TableT]):
    """What a file becomes."""

    table: TableT
    ignored: Mapping[str, int]
    """Keys that have no field, with their lines: those of other versions, and misspelled ones."""


def read_conf(path: Path, model: type[TableT]) -> Imported[TableT]:
    """Read a libvirtd.conf, virtlogd.conf or virtlockd.conf; see `table_of_conf`.

    Raises:
        ConfigError: it is refused.
        OSError: it cannot be read.
    """
    return table_of_conf(path.read_text(errors="surrogateescape"), model, str(path))


def table_of_conf(text: str, model: type[TableT], file: str) -> Imported[TableT]:
    """Return the table with which the daemon behaves as with this file.

    A key that the file does not have becomes what libvirt does without it, which is not always the
    default of the specification. `log_outputs` is the exception: without it libvirt would find out
    for itself where to write, and here it writes to the service's log. Options of the command line,
    such as --listen, stand in no file.

    Raises:
        ConfigError: libvirt could not read the file, or the table would refuse a value; the lines
            have the file and the field.
    """
    settings = parse(text, file)
    field_by_key = {mark.key or name: name for name, mark in marked(model, ConfKey)}
    data = _without_keys(model, settings) | {
        field_by_key[key]: _value(model, field_by_key[key], setting)
        for key, setting in settings.items()
        if key in field_by_key
    }
    try:
        table = model.model_validate(data)
    except ValidationError as error:
        found = validation_problems(error, model, data, (Layer(file, data),))
        raise ConfigError(tuple(found)) from error
    ignored = {key: item.line for key, item in settings.items() if key not in field_by_key}
    return Imported(table, ignored)


def _without_keys(model: type[KindTable], settings: Mapping[str, Setting]) -> dict[str, Any]:
    found = {**dict.fromkeys(_EMPTY, ""), **_DEFAULTS.get(model, {})}
    if model is LibvirtTable:
        auth = settings.get("auth_unix_rw", Setting("polkit", 0)).value
        found["unix_sock_rw_perms"] = "0777" if auth == "polkit" else "0700"
    return {name: value for name, value in found.items() if name in model.model_fields}


def _value(model: type[KindTable], field: str, setting: Setting) -> object:
    """Return a value as TOML would hold it: libvirt writes truth as 0 and 1."""
    value = setting.value
    is_bool = isinstance(model.model_fields[field].default, bool)
    return _BOOLS.get(value, value) if is_bool and isinstance(value, int) else value
