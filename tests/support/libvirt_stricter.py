"""Where virtsupd refuses what libvirtd 9.0 starts with: the written list, with a proof for each rule.

docs/libvirt.md has the same reasons in the same words.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.support.libvirt_tables import UUID, TableData

from virtsupd.services.libvirt import LibvirtTable
from virtsupd.services.render import Gone, marked

_NUMBERS: Final = {
    name for name, field in LibvirtTable.model_fields.items() if type(field.default) is int
}
_TRUTHS: Final = {
    name for name, field in LibvirtTable.model_fields.items() if isinstance(field.default, bool)
}
_MODES: Final = {"unix_sock_ro_perms", "unix_sock_rw_perms", "unix_sock_admin_perms"}
_LISTS: Final = {"tls_allowed_dn_list", "sasl_allowed_usernames"}
_WORKERS: Final = {"min_workers", "prio_workers", "admin_min_workers"}
_TLS: Final = {"key_file", "cert_file", "ca_file", "crl_file", "tls_port", "auth_tls"}
_TCP: Final = {"tcp_port", "auth_tcp"}
_NOT_IN_THE_FILE: Final = {"listen", "autostart", *(name for name, _ in marked(LibvirtTable, Gone))}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule that libvirt does not have."""

    reason: str
    fields: frozenset[str]
    holds: Callable[[str, TableData], bool]
    """Whether a field of this table may be refused for it."""
    proof: TableData
    """Refused by us, and accepted by libvirtd."""
    arguments: tuple[str, ...] = ()


def _rule(
    reason: str,
    fields: set[str],
    holds: Callable[[str, TableData], bool],
    proof: TableData,
    *arguments: str,
) -> Rule:
    return Rule(reason, frozenset(fields), holds, proof, arguments)


def _matches(pattern: str) -> Callable[[str, TableData], bool]:
    wanted = re.compile(pattern, re.DOTALL)

    def holds(field: str, data: TableData) -> bool:
        return isinstance(data[field], str) and wanted.fullmatch(data[field]) is not None

    return holds


def _always(field: str, data: TableData) -> bool:
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_odd_text(field: str, data: TableData) -> bool:
    items = data[field] if isinstance(data[field], list) else [data[field]]
    return any(isinstance(item, str) and not item.isprintable() for item in items)


def _names_nobody(field: str, data: TableData) -> bool:
    return isinstance(data[field], list) and all(isinstance(item, str) for item in data[field])


def _listens(data: TableData) -> bool:
    return data.get("listen_tcp") is True


RULES: Final = (
    _rule(
        "A truth value is `true` or `false`, a number a number: `1` for a truth value is a slip.",
        _NUMBERS | _TRUTHS,
        lambda field, data: isinstance(data[field], bool) is (field in _NUMBERS),
        {"audit_logging": 1},
    ),
    _rule(
        "A string has one line and no control characters: no key means anything with them.",
        set(LibvirtTable.model_fields),
        _is_odd_text,
        {"tls_priority": "NORMAL\t"},
    ),
    _rule(
        "A `crl_file` comes with the other three files: without them libvirt would ignore it.",
        {"crl_file"},
        _always,
        {"crl_file": "/etc/hosts"},
    ),
    _rule(
        "What nothing uses now is checked all the same: it would fail the day it is used.",
        _TLS | _TCP | {"listen_addr"},
        lambda field, data: field in _TLS or not _listens(data),
        {"tcp_port": "x y"},
    ),
    _rule(
        "Fields that stand in no file of libvirt's have a type, too.",
        _NOT_IN_THE_FILE,
        _always,
        {"mdns_adv": 3},
    ),
    _rule(
        "A port is from 1 to 65535: libvirt takes 70000 for 4464, and an empty one for any.",
        {"tcp_port"},
        _matches(r"\s*[+-]?\d*\s*"),
        {"listen_tcp": True, "tcp_port": "70000"},
        "--listen",
    ),
    _rule(
        "`tcp_port` and `tls_port` differ where both may listen: the second would find it taken.",
        {"tcp_port"},
        lambda field, data: data["tcp_port"] == data.get("tls_port", "16514"),
        {"listen_tls": True, "listen_tcp": True, "tcp_port": "16514"},
    ),
    _rule(
        "An IPv4 address has four parts: `127.1` is more often a slip than 127.0.0.1.",
        {"listen_addr"},
        _matches(r"[\d.]+"),
        {"listen_tcp": True, "listen_addr": "127.1"},
        "--listen",
    ),
    _rule(
        "polkit knows nobody beyond this host: over the network it would refuse every client.",
        {"auth_tcp", "auth_tls"},
        _matches("polkit"),
        {"listen_tcp": True, "auth_tcp": "polkit"},
        "--listen",
    ),
    _rule(
        "A mode has three octal digits: libvirt takes `-1`, and more bits than permissions.",
        _MODES,
        _matches(r"\s*[+-]?[0-7]+"),
        {"unix_sock_rw_perms": "-1"},
    ),
    _rule(
        "A group's number is below 4294967295, which means none, and has no sign.",
        {"unix_sock_group"},
        _matches(r"\s*[+-]?\d+"),
        {"unix_sock_group": "4294967295"},
    ),
    _rule(
        "The socket directory is an absolute path; virtsupd makes it where libvirt would not.",
        {"unix_sock_dir"},
        _matches("|[^/].*"),
        {"unix_sock_dir": ""},
    ),
    _rule(
        "An allowed name can match somebody: a distinguished name has a `=` or a wildcard.",
        _LISTS,
        _names_nobody,
        {"tls_allowed_dn_list": ["client1"]},
    ),
    _rule(
        "A log level is 1 to 4: libvirt takes 0 for its default.",
        {"log_level"},
        lambda _, data: data["log_level"] == 0,
        {"log_level": 0},
    ),
    _rule(
        "A filter is LEVEL:MATCH: libvirt drops what follows another colon, and takes `01`.",
        {"log_filters"},
        _matches(r" *([+0]*[1-4]:[^ ]+ *)+"),
        {"log_filters": "1:a:b"},
    ),
    _rule(
        "A log goes to a place that is named: no outputs, a nameless one, or a path that depends on "
        "the working directory are slips.",
        {"log_outputs"},
        _matches(r" *|.*(syslog:|file:[^/:]*)( .*)?"),
        {"log_outputs": "1:syslog:"},
    ),
    _rule(
        "A UUID has its dashes in their places, or none.",
        {"host_uuid"},
        lambda _, data: len(re.findall("[0-9a-fA-F]", str(data["host_uuid"]))) == 32,
        {"host_uuid": f" {UUID}"},
    ),
    _rule(
        "Audit levels are 0, 1 and 2: libvirt takes every other for 2.",
        {"audit_level"},
        lambda _, data: _is_number(data["audit_level"]) and data["audit_level"] > 2,
        {"audit_level": 3},
    ),
    _rule(
        "Keepalive intervals are -1 or more: libvirt takes all below for -1.",
        {"keepalive_interval", "admin_keepalive_interval"},
        lambda field, data: _is_number(data[field]) and data[field] < -1,
        {"keepalive_interval": -2},
    ),
    _rule(
        "A minimum of workers is not above the maximum, nor above 1000: libvirt makes them all at "
        "its start, and aborts when memory or the host's limit of threads does not suffice.",
        _WORKERS,
        _always,
        {"min_workers": 30},
    ),
    _rule(
        "At least one client may connect.",
        {"max_clients"},
        lambda _, data: data["max_clients"] == 0,
        {"max_clients": 0, "max_anonymous_clients": 0},
    ),
)


def is_stricter(field: str, data: TableData) -> bool:
    """Whether the list says that virtsupd may refuse this field where libvirt does not."""
    relevant = (rule for rule in RULES if field in rule.fields)
    if field not in data:
        return field in {"tcp_port", *_TLS} or field in _WORKERS
    return any(rule.holds(field, data) for rule in relevant)
