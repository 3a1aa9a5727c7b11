"""Names become numbers, and what is unknown is named."""

import grp
import os
import pwd
from typing import Any

import pytest

from virtsupd.core.spec import LogSpec, ProcessSpec
from virtsupd.errors import SpawnError
from virtsupd.process.identity import Credentials, group_id, is_own, resolve_credentials


def credentials(**options: Any) -> Credentials:
    return resolve_credentials(ProcessSpec(command=("true",), log=LogSpec(""), **options))


def test_without_a_user_it_is_our_own_identity() -> None:
    own = credentials()
    assert (own.uid, own.gid) == (os.geteuid(), os.getegid())
    assert own.home == pwd.getpwuid(os.geteuid()).pw_dir
    assert is_own(own)


def test_a_user_brings_its_group_groups_home_and_shell() -> None:
    entry = pwd.getpwnam("nobody")
    found = credentials(user="nobody")
    assert (found.uid, found.gid) == (entry.pw_uid, entry.pw_gid)
    assert set(found.groups) == set(os.getgrouplist("nobody", entry.pw_gid))
    assert (found.home, found.user_name) == (entry.pw_dir, "nobody")
    assert not is_own(found)


def test_a_number_is_looked_up_too() -> None:
    assert credentials(user=str(pwd.getpwnam("nobody").pw_uid)).user_name == "nobody"


def test_an_unknown_number_needs_a_group() -> None:
    with pytest.raises(SpawnError, match="set group") as caught:
        credentials(user="54321")
    assert (caught.value.stage, caught.value.is_permanent) == ("group", True)
    found = credentials(user="54321", group="12345")
    assert found == Credentials(54321, 12345, (), "/", "/bin/sh", "54321")


@pytest.mark.parametrize(
    ("options", "stage"),
    [
        ({"user": "no-such-user"}, "user"),
        ({"user": "nobody", "group": "no-such-group"}, "group"),
        ({"supplementary_groups": ("no-such-group",)}, "group"),
    ],
)
def test_unknown_names_are_refused_for_good(options: dict[str, Any], stage: str) -> None:
    with pytest.raises(SpawnError, match="no-such-") as caught:
        credentials(**options)
    assert (caught.value.stage, caught.value.is_permanent) == (stage, True)


def test_a_group_replaces_the_primary_one_and_named_groups_the_rest() -> None:
    daemon = grp.getgrnam("daemon").gr_gid
    found = credentials(user="nobody", group="daemon", supplementary_groups=("7", "daemon", "7"))
    assert found.gid == daemon
    assert found.groups == tuple(sorted({7, daemon}))


def test_group_numbers_need_no_entry() -> None:
    assert group_id("54321") == 54321
