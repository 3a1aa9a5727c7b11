"""Who may ask for what: peer credentials, roles, and what each request needs.

A peer's role for a service is the highest that any rule gives it. Root and the daemon's own user
are admin everywhere. A rule that names services gives its role for those alone; requests that
belong to no service need the role everywhere.
"""

import os
import socket
import struct
from collections.abc import Iterable
from enum import IntEnum

from virtsupd.config.settings import AccessRule, AccessSettings
from virtsupd.core.frozen import frozen
from virtsupd.errors import PeerDeniedError

_SO_PEERGROUPS = 59
"""Linux, asm-generic/socket.h; the socket module has no name for it."""
_MOST_BYTES = 1024
"""As many as Python's getsockopt takes."""


class Role(IntEnum):
    """What a peer may do; each role includes those below it."""

    VIEWER = 1
    """Look: status, logs, definitions, waiting."""
    OPERATOR = 2
    """Start, stop, restart, reload a service, its actions."""
    ADMIN = 3
    """The rest: enable, disable, the configuration, shutdown, quit."""

    def __str__(self) -> str:
        """Return the name the configuration uses."""
        return self.name.lower()


@frozen
class Peer:
    """Who is at the other end, as the kernel recorded it when the connection was made."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()
    """Supplementary groups."""

    def __str__(self) -> str:
        """Return the name for messages: "root" or "uid 1000"."""
        return "root" if self.uid == 0 else f"uid {self.uid}"


def groups_of(connection: socket.socket) -> frozenset[int]:
    """Return the supplementary groups of that process.

    None of them if there are more than 256, or if the kernel is older than 4.13: the peer then has
    fewer roles than its groups give it, never more.
    """
    try:
        found = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_BYTES)
    except OSError:
        return frozenset()
    return frozenset(struct.unpack(f"{len(found) // 4}I", found))


class Access:
    """The rules of `[access]`, asked for one peer at a time."""

    def __init__(self, settings: AccessSettings, *, own_uid: int | None = None) -> None:
        """Take the rules; `own_uid` is the daemon's (None: ask the kernel)."""
        self._rules = settings.rules
        self._admins = frozenset({0, os.geteuid() if own_uid is None else own_uid})

    def grant(self, peer: Peer) -> "Grant":
        """Return what the peer may do. Rules of a later configuration need a new grant."""
        if peer.uid in self._admins:
            return Grant(peer, ((Role.ADMIN, None),))
        matching = (rule for rule in self._rules if _matches(rule, peer))
        return Grant(
            peer,
            tuple(
                (Role[rule.role.upper()], frozenset(rule.services) if rule.services else None)
                for rule in matching
            ),
        )


def _matches(rule: AccessRule, peer: Peer) -> bool:
    if rule.uid is not None and rule.uid != peer.uid:
        return False
    if rule.gid is not None and rule.gid != peer.gid and rule.gid not in peer.groups:
        return False
    return rule.uid is not None or rule.gid is not None


@frozen
class Grant:
    """What one peer may do: roles, each everywhere (None) or for some services by canonical name."""

    peer: Peer
    roles: tuple[tuple[Role, frozenset[str] | None], ...]

    @property
    def is_admin(self) -> bool:
        """Whether the peer may do everything."""
        return self.allows(Role.ADMIN)

    @property
    def is_empty(self) -> bool:
        """Whether no rule gives the peer any role."""
        return not self.roles

    def allows(self, needed: Role, service: str | None = None) -> bool:
        """Return whether the peer has the role for a service (None: everywhere)."""
        return any(
            role >= needed and (services is None or service in services)
            for role, services in self.roles
        )

    def require(self, needed: Role, what: str, services: Iterable[str] | None = None) -> None:
        """Check that the peer has the role for each of the services (None: everywhere).

        `what` names the request, for the message.

        Raises:
            PeerDeniedError: it has not; the message names the role and the service.
        """
        if services is None:
            if not self.allows(needed):
                raise PeerDeniedError(
                    f"{what} needs role {needed}, which {self.peer} does not have"
                )
            return
        for service in services:
            if not self.allows(needed, service):
                raise PeerDeniedError(
                    f"{what} needs role {needed} for {service}, which {self.peer} does not have"
                )
