"""From the checked tables `[host]` and `[access]` to settings: defaults, accounts, clashes."""

import grp
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path

from virtsupd.config.model import AccessTable, HostTable, RuleTable
from virtsupd.config.problems import Fault
from virtsupd.config.settings import AccessRule, AccessSettings, HostSettings
from virtsupd.config.values import MAX_SOCKET_PATH_BYTES
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd, ShutdownPolicy

_WHO = ("user", "group", "uid", "gid")
_NO_ID = 2**32 - 1
"""What the kernel takes for "nobody in particular"; each number below it is a user's or group's."""


def host_settings(table: HostTable) -> HostSettings:
    """Return `[host]` with what it leaves out filled in."""
    return HostSettings(
        run_dir=Path(table.run_dir),
        state_dir=Path(table.state_dir),
        log_dir=Path(table.log_dir),
        socket=Path(table.socket or f"{table.run_dir}/control"),
        herd_socket=Path(table.herd_socket) if table.herd_socket else None,
        unit_dirs=tuple(Path(directory) for directory in table.unit_dirs),
        on_term=table.on_term,
        cgroup=table.cgroup,
        networking=table.networking,
        log_format=table.log_format,
        shutdown=ShutdownPolicy(
            timeout_seconds=table.shutdown_timeout,
            parallel=table.guest_parallel,
            guest_end=GuestEnd(table.guest_end),
            guest_timeout_seconds=table.guest_timeout,
            overdue=table.guest_overdue,
        ),
    )


def host_problems(table: HostTable) -> Iterator[Fault]:
    """Yield what is wrong between keys of `[host]`."""
    socket = table.socket or f"{table.run_dir}/control"
    if len(socket.encode()) > MAX_SOCKET_PATH_BYTES:
        yield (
            ("run_dir",),
            f"{socket} is longer than {MAX_SOCKET_PATH_BYTES} bytes; set socket to a shorter path",
        )
    if table.herd_socket == socket:
        yield ("herd_socket",), "must differ from socket"
    if "guest_timeout" in table.model_fields_set and table.guest_timeout > table.shutdown_timeout:
        yield (
            ("guest_timeout",),
            f"must be at most shutdown_timeout, which is {table.shutdown_timeout:g} seconds",
        )
    if table.run_dir == table.state_dir:
        yield ("state_dir",), "must differ from run_dir, which a boot empties"


def access_problems(table: AccessTable, canonical: Mapping[Name, Name]) -> Iterator[Fault]:
    """Yield unknown accounts and services, and rules that are not about exactly one account."""
    if table.owner is not None and user_id(table.owner) is None:
        yield ("owner",), f"no user is named {table.owner!r}"
    if table.group is not None and group_id(table.group) is None:
        yield ("group",), f"no group is named {table.group!r}"
    for index, rule in enumerate(table.rule):
        for keys, text in _rule_problems(rule, canonical):
            yield ("rule", index, *keys), text


def access_settings(table: AccessTable, canonical: Mapping[Name, Name]) -> AccessSettings:
    """Return `[access]` with accounts as numbers; `access_problems` has found nothing.

    `canonical` maps every provision to the service that provides it.
    """
    return AccessSettings(
        mode=table.mode,
        owner=user_id(table.owner) if table.owner is not None else None,
        group=group_id(table.group) if table.group is not None else None,
        rules=tuple(_rule(rule, canonical) for rule in table.rule),
    )


def user_id(account: str) -> int | None:
    """Return the number of a user by name or number; None if nobody has that name.

    A number need not be of anybody; one that no user can have is None, too.
    """
    if account.isascii() and account.isdigit():
        return _number(account)
    try:
        return pwd.getpwnam(account).pw_uid
    except KeyError:
        return None


def group_id(account: str) -> int | None:
    """Return the number of a group by name or number; None if none has that name, as `user_id`."""
    if account.isascii() and account.isdigit():
        return _number(account)
    try:
        return grp.getgrnam(account).gr_gid
    except KeyError:
        return None


def _number(account: str) -> int | None:
    return int(account) if len(account) <= len(str(_NO_ID)) and int(account) < _NO_ID else None


def _rule_problems(rule: RuleTable, canonical: Mapping[Name, Name]) -> Iterator[Fault]:
    if sum(getattr(rule, key) is not None for key in _WHO) != 1:
        yield (), f"must have exactly one of {', '.join(_WHO)}"
    if rule.user is not None and user_id(rule.user) is None:
        yield ("user",), f"no user is named {rule.user!r}"
    if rule.group is not None and group_id(rule.group) is None:
        yield ("group",), f"no group is named {rule.group!r}"
    for index, name in enumerate(rule.services or ()):
        if name not in canonical:
            yield ("services", index), f"no service provides {name!r}"


def _rule(rule: RuleTable, canonical: Mapping[Name, Name]) -> AccessRule:
    return AccessRule(
        role=rule.role,
        uid=user_id(rule.user) if rule.user is not None else rule.uid,
        gid=group_id(rule.group) if rule.group is not None else rule.gid,
        services=tuple(dict.fromkeys(canonical[name] for name in rule.services))
        if rule.services is not None
        else None,
    )
