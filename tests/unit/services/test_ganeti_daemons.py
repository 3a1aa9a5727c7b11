"""What runs each daemon of a node, and how it is known to be usable."""

from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.core.spec import ListenProbe, Prepare, ServiceSpec, StopMode

RUN = "/var/run/ganeti"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give each test a folder of its own."""
    return Folder(tmp_path)


def daemon(folder: Folder, short: str, keys: str = "", node: str = "") -> ServiceSpec:
    return folder.service(f"[ganeti]\n{node}\n[ganeti.{short}]\n{keys}\n", f"ganeti-{short}")


@pytest.mark.parametrize(
    ("short", "keys", "on"),
    [
        ("noded", "", ("tcp:1811",)),
        ("noded", 'address = "192.0.2.1"\nport = 7', ("tcp:192.0.2.1:7",)),
        ("noded", 'interface = "eth1"', ("tcp:1811",)),
        ("rapi", 'address = "::1"', ("tcp:[::1]:5080",)),
        ("confd", "", ("udp:1814",)),
        ("wconfd", "", (f"{RUN}/socket/ganeti-wconfd",)),
        ("luxid", "", (f"{RUN}/socket/ganeti-query",)),
        ("kvmd", "", ()),
        ("mond", 'address = "::"', ("tcp:1815",)),
        ("metad", "", ("tcp:80",)),
    ],
)
def test_a_daemon_is_ready_when_it_listens_itself_where_it_was_told(
    folder: Folder, short: str, keys: str, on: tuple[str, ...]
) -> None:
    found = daemon(folder, short, keys)
    assert found.ready.probe == ListenProbe(on, f"{RUN}/ganeti-{short}.pid")


def test_each_start_has_its_directories_and_their_owners_put_right(folder: Folder) -> None:
    prepare = Prepare(("/usr/lib/ganeti/ensure-dirs",))
    assert daemon(folder, "luxid").prepare == prepare
    other = daemon(folder, "luxid", node='ganeti = "/opt/ganeti"')
    assert other.prepare == Prepare(("/opt/ganeti/lib/ganeti/ensure-dirs",))
    assert other.process is not None
    assert other.process.command[0].startswith("/opt/ganeti/")
    assert dict(other.process.environment)["PATH"].startswith("/opt/ganeti/sbin:")


@pytest.mark.parametrize(
    "short", ["noded", "luxid", "wconfd", "confd", "rapi", "mond", "kvmd", "metad"]
)
def test_a_stop_signals_no_job_and_no_instance(folder: Folder, short: str) -> None:
    found = daemon(folder, short)
    assert found.stop.mode is StopMode.PROCESS
    assert found.process is not None
    assert found.process.command[:2] == (f"ganeti-{short}", "-f")
    assert found.part_of == ("ganeti",)


def test_who_asks_the_other_nodes_first_has_the_time_for_it(folder: Folder) -> None:
    assert daemon(folder, "luxid").ready.timeout_seconds > 75
    respawn = daemon(folder, "wconfd").respawn
    assert respawn is not None
    assert respawn.only_failures
    assert respawn.limit


def test_an_end_that_says_not_here_is_no_failure(folder: Folder) -> None:
    assert daemon(folder, "luxid").not_needed_exit == {11}
    assert daemon(folder, "rapi").not_needed_exit == {11}
    kvmd = daemon(folder, "kvmd")
    assert kvmd.not_needed_exit == {0}
    assert not kvmd.success_exit


def test_metad_may_listen_below_1024_without_being_root(folder: Folder) -> None:
    found = daemon(folder, "metad", node='accounts = "debian"').process
    assert found is not None
    assert (found.user, found.capabilities) == ("gnt-metad", ("CAP_NET_BIND_SERVICE",))
