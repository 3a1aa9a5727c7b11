"""Whose accounts Ganeti's daemons run as."""

from virtsupd.services import ganeti_accounts
from virtsupd.services.ganeti_accounts import account_keys, are_split, missing_accounts


def test_a_debian_build_has_an_account_for_each_daemon_that_needs_no_root() -> None:
    assert account_keys("ganeti-luxid", split=True) == {"user": "gnt-masterd", "group": "gnt-luxid"}
    assert account_keys("ganeti-cleaner-master", split=True)["user"] == "gnt-masterd"
    assert account_keys("ganeti-noded", split=True) == {}


def test_in_an_upstream_build_all_are_root() -> None:
    assert account_keys("ganeti-luxid", split=False) == {}
    assert not are_split("root")
    assert are_split("debian"), "also where they are missing, which checks of the file tell"


def test_the_host_decides_where_nothing_is_said() -> None:
    assert are_split("auto") is (missing_accounts() == ())
    assert set(missing_accounts()) <= {
        name for pair in ganeti_accounts._DEBIAN.values() for name in pair
    }
