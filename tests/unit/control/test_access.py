"""Roles: what rules give, and what requests need."""

import os
import socket

import pytest

from virtsupd.config.settings import AccessRule, AccessSettings
from virtsupd.control.access import Access, Grant, Peer, Role, groups_of
from virtsupd.errors import PeerDeniedError

ALICE = Peer(pid=10, uid=1000, gid=1000, groups=frozenset({50, 60}))


def grant(*rules: AccessRule, peer: Peer = ALICE) -> Grant:
    return Access(AccessSettings(rules=rules), own_uid=500).grant(peer)


@pytest.mark.parametrize("uid", [0, 500])
def test_root_and_the_daemons_own_user_are_admin(uid: int) -> None:
    assert grant(peer=Peer(1, uid, uid)).is_admin


def test_nobody_else_has_a_role_without_a_rule() -> None:
    found = grant()
    assert found.is_empty
    with pytest.raises(PeerDeniedError, match="status needs role viewer, which uid 1000"):
        found.require(Role.VIEWER, "status")


@pytest.mark.parametrize(
    ("rule", "applies"),
    [
        (AccessRule("operator", uid=1000), True),
        (AccessRule("operator", uid=1001), False),
        (AccessRule("operator", gid=1000), True),
        (AccessRule("operator", gid=60), True),
        (AccessRule("operator", gid=61), False),
        (AccessRule("operator", uid=1000, gid=61), False),
        (AccessRule("operator"), False),
    ],
)
def test_a_rule_names_a_user_or_a_group_supplementary_ones_included(
    rule: AccessRule, *, applies: bool
) -> None:
    assert grant(rule).allows(Role.OPERATOR) is applies


def test_each_role_includes_those_below_it() -> None:
    found = grant(AccessRule("operator", uid=1000))
    assert found.allows(Role.VIEWER)
    assert not found.allows(Role.ADMIN)


def test_a_rule_for_some_services_gives_nothing_elsewhere() -> None:
    found = grant(
        AccessRule("viewer", uid=1000), AccessRule("operator", gid=60, services=("childhurd",))
    )
    found.require(Role.OPERATOR, "start", ["childhurd"])
    found.require(Role.VIEWER, "status", ["web"])
    assert not found.allows(Role.OPERATOR)
    with pytest.raises(PeerDeniedError, match="stop needs role operator for web"):
        found.require(Role.OPERATOR, "stop", ["childhurd", "web"])


def test_the_kernel_tells_the_groups_of_the_peer() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert groups_of(ours) == frozenset(os.getgroups())


@pytest.mark.parametrize(("count", "known"), [(256, 256), (257, 0)])
def test_a_peer_may_be_in_many_groups(count: int, known: int) -> None:
    before = os.getgroups()
    os.setgroups(range(100, 100 + count))
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX)
    finally:
        os.setgroups(before)
    with ours, theirs:
        assert groups_of(ours) == frozenset(range(100, 100 + known))


def test_what_is_no_unix_socket_has_no_groups() -> None:
    with socket.socket(socket.AF_INET) as other:
        assert groups_of(other) == frozenset()
