"""Console logs of real guests through virtlogd: what keeps them, what is refused for them, what loses them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.guest import Guest
from tests.support.libvirt import LibvirtHost, libvirt_host, successor
from tests.support.real_herd import herd

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]

TABLES = """
[virtlock]
[libvirt]

[service.rival]
command = ["/bin/sleep", "1000"]
conflicts = ["virtlogd"]
autostart = false
"""
DAEMONS = ("virtlogd", "virtlockd", "libvirtd")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    with libvirt_host(tmp_path_factory.mktemp("host"), tables=TABLES) as host:
        host.await_running(*DAEMONS)
        yield host


@pytest.fixture(scope="module")
def guests(host: LibvirtHost) -> tuple[Guest, Guest]:
    first, second = Guest(host.namespaces, "web1"), Guest(host.namespaces, "db1")
    first.start()
    second.start()
    return first, second


def pids(host: LibvirtHost, *names: str) -> list[int]:
    return [host.pid(name) for name in names]


def has_failed(host: LibvirtHost, name: str) -> bool:
    """Kill a service that runs; whether it is not started again any more."""
    service = host.status(name)
    if service["pid"] is not None:
        host.namespaces.run("kill", "-KILL", str(service["pid"]), is_ok=False)
    return bool(service["failed"])


@pytest.mark.parametrize("name", DAEMONS)
@pytest.mark.parametrize("how", ["stop", "restart", "crash", "failure"])
def test_what_becomes_of_one_daemon_leaves_the_others_alone(
    host: LibvirtHost, name: str, how: str
) -> None:
    """Without a guest yet: nothing has anything against it."""
    others = [other for other in DAEMONS if other != name]
    before, own = pids(host, *others), host.pid(name)
    if how == "crash":
        host.namespaces.signal(own, "KILL")
        host.await_replacement(name, of=own)
    elif how == "failure":
        eventually(lambda: has_failed(host, name), f"the failure of {name}", seconds=30)
    else:
        host.control(how, name)
    assert pids(host, *others) == before
    assert all(host.status(other)["state"] == "running" for other in others)
    host.control("start", name)
    assert pids(host, *others) == before
    assert host.pid(name) != own


@pytest.mark.parametrize(
    ("words", "begin"),
    [
        (["stop", "virtlogd"], "cannot stop virtlogd: console logs of guests db1, web1 go"),
        (["restart", "virtlogd"], "cannot restart virtlogd: console logs of guests db1, web1 go"),
        (["start", "rival"], "cannot start rival: virtlogd would be stopped: console logs of"),
    ],
)
def test_what_would_cost_guests_their_console_logs_is_refused(
    host: LibvirtHost, guests: tuple[Guest, Guest], words: list[str], begin: str
) -> None:
    before = host.pid("virtlogd")
    done = host.control(*words, is_ok=False)
    assert done.returncode == 1
    assert done.stderr.startswith(begin)
    assert "`virtsupctl reload virtlogd` renews it and keeps them" in done.stderr
    assert "--force does it all the same" in done.stderr
    assert host.pid("virtlogd") == before
    for guest in guests:
        guest.assert_goes_on()


def test_herd_is_refused_the_same(host: LibvirtHost, guests: tuple[Guest, Guest]) -> None:
    done = herd(host.namespaces.shared / "control", "stop", "virtlogd")
    assert done.code == 1
    assert "guests db1, web1" in done.output + done.errors
    assert "virtsupctl reload virtlogd" in done.output + done.errors
    guests[0].assert_goes_on()


def test_it_is_refused_while_libvirtd_is_down(
    host: LibvirtHost, guests: tuple[Guest, Guest]
) -> None:
    host.control("stop", "libvirtd")
    done = host.control("stop", "virtlogd", is_ok=False)
    assert "guests db1, web1" in done.stderr
    host.control("start", "libvirtd")
    guests[0].assert_goes_on()


def test_a_configuration_without_virtlogd_is_refused(
    host: LibvirtHost, guests: tuple[Guest, Guest]
) -> None:
    file = host.namespaces.shared / "host.toml"
    text = file.read_text()
    file.write_text(text.replace("[virtlog]\n", ""))
    done = host.control("reload", is_ok=False)
    planned = host.control("plan", is_ok=False)
    reexecuted = host.control("reexec", is_ok=False)
    file.write_text(text)
    for refused in (done, planned):
        assert refused.returncode == 2
        assert "virtlogd: " in refused.stderr
        assert "guests db1, web1" in refused.stderr
    assert reexecuted.returncode != 0
    assert "virtlogd would be no longer configured: console logs of guests" in reexecuted.stderr
    host.control("reload")
    guests[0].assert_goes_on()


def test_a_plan_of_a_stop_says_what_it_would_cost(
    host: LibvirtHost, guests: tuple[Guest, Guest]
) -> None:
    planned = host.control("plan", "stop", "virtlogd", is_ok=False)
    refused = host.control("stop", "virtlogd", is_ok=False)
    assert planned.returncode == refused.returncode == 1
    assert refused.stderr.strip() in planned.stderr
    assert "console logs of guests db1, web1 go" in planned.stderr
    forced = host.control("plan", "stop", "virtlogd", "--force").stdout
    assert "with --force: virtlogd: console logs of guests db1, web1 go" in forced


def test_only_guests_that_run_count(host: LibvirtHost, guests: tuple[Guest, Guest]) -> None:
    host.virsh("destroy", guests[1].name)
    done = host.control("stop", "virtlogd", is_ok=False)
    assert "console logs of guest web1 go" in done.stderr


def test_a_crash_of_virtlogd_says_whose_console_logs_are_lost(
    host: LibvirtHost, guests: tuple[Guest, Guest]
) -> None:
    guest, before = guests[0], guests[0].identity()
    virtlogd, libvirtd = pids(host, "virtlogd", "libvirtd")
    host.namespaces.signal(virtlogd, "KILL")
    host.await_replacement("virtlogd", of=virtlogd)
    assert guest.identity() == before
    assert host.pid("libvirtd") == libvirtd
    lost = "console logs of guest web1 lost"
    eventually(lambda: lost in host.control("status", "virtlogd").stdout, "whose logs are lost")
    assert "guests lost something" in host.namespaces.output


def test_what_has_nothing_to_lose_any_more_is_stopped_and_a_start_of_guests_then_fails(
    host: LibvirtHost, guests: tuple[Guest, Guest]
) -> None:
    host.control("stop", "virtlogd")
    refused = host.namespaces.run("virsh", "start", guests[1].name, is_ok=False)
    assert "virtlogd-sock" in refused.stderr
    about = host.control("status", "libvirtd").stdout
    assert "Wants         virtlogd (stopped)" in about
    assert "virtlogd-sock" in about  # libvirtd's own words, at the end of its log
    host.control("start", "virtlogd")
    guests[1].start_anew()


def test_what_is_forced_is_done_and_names_whose_logs_are_lost(
    host: LibvirtHost, guests: tuple[Guest, Guest]
) -> None:
    before = [guest.identity() for guest in guests]
    done = host.control("restart", "--force", "virtlogd")
    assert "lost with virtlogd: console logs of guest" in done.stdout
    assert guests[1].name in done.stdout
    assert [guest.identity() for guest in guests] == before
    assert all(host.virsh("domstate", guest.name) == "running" for guest in guests)


def test_a_shutdown_asks_for_no_force(host: LibvirtHost, guests: tuple[Guest, Guest]) -> None:
    """The last test on this host."""
    guests[0].start_anew()
    host.control("shutdown", seconds=120)
    assert host.namespaces.wait() == 0


def test_a_successor_whose_file_is_without_virtlogd_lets_it_run_on(tmp_path: Path) -> None:
    with libvirt_host(tmp_path, tables="[libvirt]\n") as host:
        host.await_running("virtlogd", "libvirtd")
        guest, virtlogd = Guest(host.namespaces, "db1"), host.pid("virtlogd")
        guest.start()
        file = tmp_path / "host.toml"
        text = file.read_text()
        file.write_text(text.replace("[virtlog]\n", ""))
        host.namespaces.signal(host.daemon_pid(), "KILL")
        with successor(host):
            eventually(lambda: host.control("status", is_ok=False).returncode == 0, "a successor")
            assert host.pid("virtlogd") == virtlogd
            guest.assert_goes_on()
            assert "no longer configured" in host.control("status", "virtlogd").stdout
            refused = host.control("stop", "virtlogd", is_ok=False).stderr
            assert "cannot stop virtlogd: console logs of guest db1 go" in refused
            assert "keeps them, once [virtlog] is configured again; --force" in refused
            file.write_text(text)
            host.control("reload")
            assert host.pid("virtlogd") == virtlogd
            assert "no longer configured" not in host.control("status", "virtlogd").stdout
            host.control("reload", "virtlogd")
            guest.assert_goes_on()
            host.control("shutdown")
