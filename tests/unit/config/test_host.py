import grp
import pwd
from pathlib import Path

import pytest

from virtsupd.config.host import (
    access_problems,
    access_settings,
    group_id,
    host_problems,
    host_settings,
    user_id,
)
from virtsupd.config.model import AccessTable, HostTable
from virtsupd.config.settings import AccessRule, AccessSettings, HostSettings
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd, ShutdownPolicy

CANONICAL = {Name("web"): Name("web"), Name("www"): Name("web")}


def test_what_is_left_out_has_the_documented_defaults() -> None:
    assert host_settings(HostTable()) == HostSettings()


def test_every_key_of_host_is_taken() -> None:
    table = HostTable.model_validate(
        {
            "run_dir": "/r",
            "state_dir": "/s",
            "log_dir": "/l",
            "herd_socket": "/h",
            "unit_dirs": ["/u", "/v"],
            "on_term": "quit",
            "cgroup": "vs",
            "networking": "assume",
            "log_format": "json",
            "shutdown_timeout": "90s",
            "guest_parallel": 2,
            "guest_end": "save",
            "guest_timeout": "1min",
            "guest_overdue": "leave",
        }
    )
    assert list(host_problems(table)) == []
    assert host_settings(table) == HostSettings(
        run_dir=Path("/r"),
        state_dir=Path("/s"),
        log_dir=Path("/l"),
        socket=Path("/r/control"),
        herd_socket=Path("/h"),
        unit_dirs=(Path("/u"), Path("/v")),
        on_term="quit",
        cgroup="vs",
        networking="assume",
        log_format="json",
        shutdown=ShutdownPolicy(
            timeout_seconds=90.0,
            parallel=2,
            guest_end=GuestEnd.SAVE,
            guest_timeout_seconds=60.0,
            overdue="leave",
        ),
    )


@pytest.mark.parametrize(
    ("data", "keys", "said"),
    [
        ({"run_dir": "/" + "x" * 110}, ("run_dir",), "longer than 107 bytes; set socket"),
        ({"socket": "/a", "herd_socket": "/a"}, ("herd_socket",), "must differ from socket"),
        ({"run_dir": "/a", "state_dir": "/a"}, ("state_dir",), "must differ from run_dir"),
        ({"guest_timeout": "1h"}, ("guest_timeout",), "at most shutdown_timeout, which is 840 sec"),
    ],
)
def test_host_keys_that_clash(data: dict[str, object], keys: tuple[str, ...], said: str) -> None:
    ((found, text),) = host_problems(HostTable.model_validate(data))
    assert found == keys
    assert said in text


def test_a_short_shutdown_needs_no_word_about_guests() -> None:
    assert list(host_problems(HostTable.model_validate({"shutdown_timeout": "1min"}))) == []


def test_a_long_run_directory_is_fine_with_a_socket_elsewhere() -> None:
    data = {"run_dir": "/" + "x" * 110, "socket": "/run/s"}
    assert list(host_problems(HostTable.model_validate(data))) == []


def test_accounts_are_names_or_numbers() -> None:
    user, group = pwd.getpwuid(0), grp.getgrgid(0)
    assert (user_id(user.pw_name), user_id("17"), user_id("nobody-has-this")) == (0, 17, None)
    assert (group_id(group.gr_name), group_id("17"), group_id("nobody-has-this")) == (0, 17, None)


def test_access_rules_are_resolved() -> None:
    table = AccessTable.model_validate(
        {
            "mode": "0660",
            "owner": "root",
            "group": 0,
            "rule": [
                {"role": "viewer", "user": "root"},
                {"role": "operator", "group": "root", "services": ["www", "web"]},
                {"role": "admin", "uid": 5},
                {"role": "admin", "gid": 6},
            ],
        }
    )
    assert list(access_problems(table, CANONICAL)) == []
    assert access_settings(table, CANONICAL) == AccessSettings(
        mode=0o660,
        owner=0,
        group=0,
        rules=(
            AccessRule("viewer", uid=0),
            AccessRule("operator", gid=0, services=("web",)),
            AccessRule("admin", uid=5),
            AccessRule("admin", gid=6),
        ),
    )


@pytest.mark.parametrize(
    ("data", "keys", "said"),
    [
        ({"owner": "nobody-has-this"}, ("owner",), "no user is named"),
        ({"group": "nobody-has-this"}, ("group",), "no group is named"),
        ({"owner": str(2**32 - 1)}, ("owner",), "no user is named"),
        ({"group": "9" * 5000}, ("group",), "no group is named"),
        ({"rule": [{"role": "admin"}]}, ("rule", 0), "exactly one of user, group, uid, gid"),
        ({"rule": [{"role": "admin", "uid": 1, "gid": 1}]}, ("rule", 0), "exactly one of"),
        ({"rule": [{"role": "admin", "user": "nobody-has-this"}]}, ("rule", 0, "user"), "no user"),
        (
            {"rule": [{"role": "admin", "group": "nobody-has-this"}]},
            ("rule", 0, "group"),
            "no group",
        ),
        (
            {"rule": [{"role": "admin", "uid": 1, "services": ["web", "wbe"]}]},
            ("rule", 0, "services", 1),
            "no service provides 'wbe'",
        ),
    ],
)
def test_access_that_names_nobody_is_refused(
    data: dict[str, object], keys: tuple[object, ...], said: str
) -> None:
    ((found, text),) = access_problems(AccessTable.model_validate(data), CANONICAL)
    assert found == keys
    assert said in text
