"""Whose accounts Ganeti's programs run as: a build has them compiled in, and each checks its own.

Debian's builds have an account for each daemon that does not need root; an upstream build, such as
Guix's, runs everything as root (configure --with-user-prefix and its like).
"""

from collections.abc import Mapping
from typing import Final, Literal

from virtsupd.config.host import group_id, user_id

AccountsOf = Literal["auto", "debian", "root"]

_DEBIAN: Final[Mapping[str, tuple[str, str]]] = {
    "ganeti-confd": ("gnt-confd", "gnt-confd"),
    "ganeti-wconfd": ("gnt-masterd", "gnt-confd"),
    "ganeti-luxid": ("gnt-masterd", "gnt-luxid"),
    "ganeti-rapi": ("gnt-rapi", "gnt-rapi"),
    "ganeti-kvmd": ("root", "gnt-daemons"),
    "ganeti-metad": ("gnt-metad", "gnt-metad"),
    "ganeti-cleaner-master": ("gnt-masterd", "gnt-masterd"),
}
"""User and group by service, where they are not root's (ganeti 3.0.2-3, daemon-util and cron)."""


def are_split(said: AccountsOf) -> bool:
    """Whether daemons run as accounts of their own; "auto": if this host has Debian's."""
    return said == "debian" or (said == "auto" and not missing_accounts())


def missing_accounts() -> tuple[str, ...]:
    """Return the users and groups of a Debian build that this host has not, sorted."""
    users = {user for user, _ in _DEBIAN.values() if user_id(user) is None}
    groups = {group for _, group in _DEBIAN.values() if group_id(group) is None}
    return tuple(sorted(users | groups))


def account_keys(service: str, *, split: bool) -> dict[str, object]:
    """Return `user` and `group` of a service; nothing for root. Its other groups are the database's."""
    if not split or service not in _DEBIAN:
        return {}
    user, group = _DEBIAN[service]
    return {"user": user, "group": group}
