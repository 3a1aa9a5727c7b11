"""Tables of libvirt's daemons, made up: what is allowed, what is odd, and files as libvirt reads them."""

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Le, Lt
from hypothesis import assume
from hypothesis import strategies as st
from pydantic import ValidationError

from virtsupd.config.model import KindTable
from virtsupd.services.libvirt import LibvirtTable
from virtsupd.services.libvirt_rules import admin_faults, client_faults, connection_faults
from virtsupd.services.libvirt_tls import remote
from virtsupd.services.render import ConfKey, marked

TableData = dict[str, Any]
"""A table as TOML holds it."""

UUID: Final = "8510b1a1-0afa-4da6-8111-785fae202c1d"
_WORDS = st.text(st.sampled_from("abz09._-"), min_size=1, max_size=12)
_LEVELS = st.integers(1, 4)
_PLAIN = st.text(st.sampled_from("abé \"'#;,[]=\\"), max_size=12)
_FILTER = st.builds("{}:{}{}".format, _LEVELS, st.sampled_from(["", "+"]), _WORDS)
_OUTPUT = st.one_of(
    st.builds("{}:{}".format, _LEVELS, st.sampled_from(["stderr", "journald"])),
    st.builds("{}:syslog:{}".format, _LEVELS, _WORDS),
    st.builds("{}:file:/var/log/libvirt/{}".format, _LEVELS, _WORDS.map("x".__add__)),
)
_MODES = st.builds("{}{:03o}".format, st.sampled_from(["", "0"]), st.integers(0, 0o777))

_BY_FIELD: Final[Mapping[str, st.SearchStrategy[object]]] = {
    "listen": st.just("auto"),
    "tls_port": st.integers(20000, 20009).map(str),
    "tcp_port": st.integers(20005, 20019).map(str) | st.just("http"),
    "listen_addr": st.sampled_from(["", "0.0.0.0", "127.0.0.1", "localhost", "::"]),
    "unix_sock_group": st.sampled_from(["root", "libvirt", "0", "64055"]),
    "unix_sock_ro_perms": _MODES,
    "unix_sock_rw_perms": _MODES,
    "unix_sock_admin_perms": _MODES,
    "unix_sock_dir": st.sampled_from(["/run/libvirt", "/var/run/libvirt", "/var/lib/libvirt"]),
    "key_file": st.just(""),
    "cert_file": st.just(""),
    "ca_file": st.just(""),
    "crl_file": st.just(""),
    "tls_allowed_dn_list": st.lists(_PLAIN.map(lambda text: f"CN={text}|".strip()), max_size=3),
    "sasl_allowed_usernames": st.lists(_PLAIN.map(lambda text: f"u{text}|"), max_size=3),
    "tls_priority": _PLAIN,
    "mdns_name": _PLAIN,
    "log_filters": st.lists(_FILTER, max_size=3).map(" ".join),
    "log_outputs": st.lists(_OUTPUT, min_size=1, max_size=3).map(" ".join),
    "host_uuid": st.sampled_from(["", UUID, UUID.upper(), UUID.replace("-", "")]),
    "min_workers": st.integers(0, 9),
    "prio_workers": st.integers(0, 9),
    "admin_min_workers": st.integers(0, 9),
    "max_size": st.integers(0, 2**63 - 1) | st.just("2MB"),
}
_NOT_IN_THE_FILE: Final = {
    "libvirt",
    "qemu",
    "dmidecode",
    "requirement",
    "firmwares",
    "autostart",
    "activation",
}


def values(model: type[KindTable], name: str) -> st.SearchStrategy[object]:
    """Return values that the field allows."""
    if name in _BY_FIELD:
        return _BY_FIELD[name]
    field = model.model_fields[name]
    if isinstance(field.default, bool):
        return st.booleans()
    if get_origin(field.annotation) is Literal:
        return st.sampled_from(get_args(field.annotation))
    if name == "access_drivers":
        return st.lists(st.sampled_from(["none", "polkit"]), max_size=2)
    least, most = _range(field.metadata)
    return st.integers(least, most) | st.sampled_from([least, most, field.default])


def _range(metadata: list[Any]) -> tuple[int, int]:
    least, most = 0, 0
    for item in metadata:
        match item:
            case Ge(ge=int(bound)):
                least = bound
            case Le(le=int(bound)):
                most = bound
            case Lt(lt=int(bound)):
                most = bound - 1
            case _:
                pass
    return least, most


@st.composite
def table_data(draw: st.DrawFn, model: type[KindTable], most: int = 8) -> TableData:
    """Draw some fields, each with a value that it allows."""
    names = sorted(model.model_fields.keys() - _NOT_IN_THE_FILE)
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=most))
    return {name: draw(values(model, name)) for name in chosen}


@st.composite
def tables(draw: st.DrawFn, model: type[KindTable]) -> Any:
    """Draw a table whose fields are fine, alone and together."""
    try:
        table = model.model_validate(draw(table_data(model, most=20)))
    except ValidationError:
        # Of strings some cannot be written: see `conf_string`.
        assume(False)
        raise
    assume(not isinstance(table, LibvirtTable) or not faults_together(table))
    return table


def faults_together(table: LibvirtTable) -> list[str]:
    """Return the fields of which the table's own rules complain."""
    found = (
        *client_faults(table),
        *admin_faults(table),
        *connection_faults(table, remote(table)),
    )
    return [str(keys[0]) for keys, _ in found]


def conf_keys(model: type[KindTable]) -> dict[str, str]:
    """Return the daemon's keys by field."""
    return {name: mark.key or name for name, mark in marked(model, ConfKey)}


def naive_conf(model: type[KindTable], data: TableData) -> str:
    """Return the file that somebody would write by hand who checks nothing."""
    keys = conf_keys(model)
    return "".join(f"{keys[name]} = {_naive(v)}\n" for name, v in data.items() if name in keys)


def _naive(value: object) -> str:
    match value:
        case bool():
            return str(int(value))
        case str():
            quote = next((q for q in ('"', "'") if q not in value), '"""')
            return f"{quote}{value}{quote}"
        case list():
            return f"[{', '.join(map(_naive, value))}]"
        case _:
            return str(value)
