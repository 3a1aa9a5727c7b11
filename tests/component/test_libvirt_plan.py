"""Changed tables of real daemons under a real guest: what is planned is what happens."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.guest import Guest
from tests.support.libvirt import LibvirtHost, libvirt_host

pytestmark = [pytest.mark.component, pytest.mark.timeout(240)]

TABLES = """
[libvirt]
listen_tcp = true
listen_tls = false
listen_addr = "127.0.0.1"
"""
LISTENS = "0A"
"""The state of a listening socket in /proc/net/tcp."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    with libvirt_host(tmp_path_factory.mktemp("host"), tables=TABLES) as host:
        host.await_running("virtlogd", "libvirtd")
        yield host


@pytest.fixture(scope="module")
def guest(host: LibvirtHost) -> Guest:
    guest = Guest(host.namespaces)
    guest.start()
    return guest


def change(host: LibvirtHost, table: str, line: str) -> None:
    """Add a line to a table of the host file, in place of one with the same key."""
    file = host.namespaces.shared / "host.toml"
    key = line.partition(" =")[0]
    head, _, rest = file.read_text().partition(f"[{table}]\n")
    kept = re.sub(rf"^{key} = .*\n", "", rest, flags=re.MULTILINE)
    file.write_text(f"{head}[{table}]\n{line}\n{kept}")


def ports(host: LibvirtHost) -> set[int]:
    """Return the TCP ports on which something listens inside."""
    table = host.namespaces.root / f"proc/{host.pid('libvirtd')}/net/tcp"
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    return {int(row[1].partition(":")[2], 16) for row in rows if row[3] == LISTENS}


def conf(host: LibvirtHost, path: str) -> Path:
    return host.namespaces.shared / "run/generated" / path


def test_a_changed_port_of_libvirtd_is_pending_until_its_restart_and_the_guest_lives(
    host: LibvirtHost, guest: Guest
) -> None:
    before, libvirtd, file = (
        guest.identity(),
        host.pid("libvirtd"),
        conf(host, "libvirt/libvirtd.conf"),
    )
    assert 16509 in ports(host)
    change(host, "libvirt", 'tcp_port = "16510"')
    written = file.stat().st_mtime_ns, file.read_text()
    lines = host.control("plan").stdout.splitlines()
    assert lines[:2] == [
        "libvirtd: runs on; in force at its next start: virtsupctl restart libvirtd",
        '    libvirtd.conf: tcp_port = "16509" → "16510"',
    ]
    assert lines[-1] == "no guest ends by a restart of libvirtd"
    assert (file.stat().st_mtime_ns, file.read_text()) == written
    assert not host.status("libvirtd")["replacement_pending"]
    assert host.control("reload").stdout.splitlines() == lines
    assert host.status("libvirtd")["replacement_pending"]
    assert (host.pid("libvirtd"), ports(host) & {16509, 16510}) == (libvirtd, {16509})
    host.control("restart", "libvirtd")
    assert not host.status("libvirtd")["replacement_pending"]
    assert ports(host) & {16509, 16510} == {16510}
    assert host.virsh("domstate", guest.name) == "running"
    assert guest.identity() == before
    guest.assert_goes_on()


def test_a_reload_restarts_libvirtd_if_it_is_to_and_the_guest_lives(
    host: LibvirtHost, guest: Guest
) -> None:
    before = guest.identity()
    change(host, "libvirt", 'tcp_port = "16511"')
    assert "libvirtd is running" in host.control("reload", "--restart").stdout
    assert 16511 in ports(host)
    assert guest.identity() == before
    guest.assert_goes_on()


def test_a_changed_size_of_console_logs_holds_at_once_for_a_log_that_is_open(
    host: LibvirtHost, guest: Guest
) -> None:
    before, virtlogd = guest.identity(), host.pid("virtlogd")
    log = host.namespaces.root / f"var/log/libvirt/qemu/{guest.name}-console.log"
    rolled = log.with_name(f"{log.name}.0")
    change(host, "virtlog", "max_size = 100")
    assert "virtlogd: is told to read its files again" in host.control("plan").stdout
    assert not rolled.exists()
    assert "virtlogd: has been told" in host.control("reload").stdout
    eventually(rolled.exists, "a log that was rolled over", seconds=30)
    found = host.status("virtlogd")
    assert not found["replacement_pending"]
    assert not found["reload_pending"]
    assert (host.pid("virtlogd"), guest.identity()) == (virtlogd, before)
    assert host.control("plan").stdout == "a reload would change nothing\n"


def test_what_virtlogd_reads_once_is_pending_and_its_price_is_told(
    host: LibvirtHost, guest: Guest
) -> None:
    virtlogd = host.pid("virtlogd")
    change(host, "virtlog", "max_clients = 512")
    change(host, "virtlog", "max_backups = 2")
    done = json.loads(host.control("--json", "reload").stdout)
    [step] = [step for step in done["steps"] if step["name"] == "virtlogd"]
    assert (step["fate"], step["told"]) == ("pending", True)
    assert {key["key"]: key["when"] for key in step["keys"]} == {
        "max_clients": "restart",
        "max_backups": "reload",
    }
    assert guest.name in step["harms"][0]
    found = host.status("virtlogd")
    assert (found["replacement_pending"], found["reload_pending"]) == (True, False)
    done_again = host.control("reload", "--restart").stdout
    assert f"guest {guest.name}" in done_again
    assert "no guest ends" not in done_again
    assert host.pid("virtlogd") == virtlogd
    change(host, "virtlog", "max_clients = 1024")
    host.control("reload")
    assert not host.status("virtlogd")["replacement_pending"]


def test_virtlogd_is_not_told_of_a_log_that_it_would_end_over(
    host: LibvirtHost, guest: Guest
) -> None:
    before, virtlogd = guest.identity(), host.pid("virtlogd")
    place = host.namespaces.shared / "no/such/place"
    change(host, "virtlog", f'log_outputs = "1:file:{place}/log"')
    for verb in ("plan", "reload"):
        refused = host.control(verb, is_ok=False)
        assert refused.returncode == 2
        assert "virtlog.log_outputs" in refused.stderr
    assert host.pid("virtlogd") == virtlogd
    assert not host.status("virtlogd")["reload_pending"]
    place.mkdir(parents=True)
    host.control("reload")
    eventually((place / "log").exists, "a log of virtlogd's own")
    (place / "log").unlink()
    (place / "log").mkdir()
    refused = host.control("reload", "virtlogd", is_ok=False)
    assert refused.returncode == 1
    assert "virtlogd: it would end over log_outputs" in refused.stderr
    assert host.pid("virtlogd") == virtlogd
    (place / "log").rmdir()
    host.control("reload", "virtlogd")
    eventually((place / "log").exists, "a log of virtlogd's own")
    assert not host.status("virtlogd")["reload_pending"]
    assert (host.pid("virtlogd"), guest.identity()) == (virtlogd, before)
