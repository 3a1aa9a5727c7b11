"""What the actions of libvirt's daemons tell and change, on the real ones."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.checks import eventually, text_of
from tests.support.guest import Guest
from tests.support.libvirt import LibvirtHost, libvirt_host

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]

TABLES = """
[virtlock]

[libvirt]
unix_sock_dir = "{shared}/sockets of libvirt"
unix_sock_admin_perms = "0700"
listen_tls = false
listen_tcp = true
listen_addr = "127.0.0.1"
auth_tcp = "none"
"""
ODD_NAMES = [" ünï;  qu'ote\"s ", "--all", "7"]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    shared = tmp_path_factory.mktemp("host")
    with libvirt_host(shared, tables=TABLES.format(shared=shared)) as host:
        host.await_running("virtlogd", "virtlockd", "libvirtd")
        yield host


@pytest.fixture(scope="module")
def guest(host: LibvirtHost) -> Guest:
    # virsh of the tests looks for libvirtd where it usually is.
    sockets = host.namespaces.shared / "sockets of libvirt"
    for name in ("libvirt-sock", "libvirt-sock-ro"):
        (host.namespaces.shared / "libvirt" / name).symlink_to(sockets / name)
    guest = Guest(host.namespaces)
    guest.start()
    return guest


def told(host: LibvirtHost, *words: str) -> Any:
    """Return what an action prints as JSON."""
    return json.loads(host.control(*words, "--json").stdout)


def test_every_uri_but_other_peoples_reaches_this_libvirtd(host: LibvirtHost) -> None:
    uris = told(host, "uris", "libvirtd")["uris"]
    assert uris[-1] == "qemu+tcp://127.0.0.1/system"
    host_names = {host.virsh("--connect", uri, "hostname") for uri in uris}
    assert len(host_names) == 1
    assert len(uris) == 3


def test_who_may_only_look_cannot_change_anything(host: LibvirtHost, guest: Guest) -> None:
    uri = told(host, "uris", "libvirtd")["uris"][1]
    done = host.namespaces.run("virsh", "-c", uri, "destroy", guest.name, is_ok=False)
    assert "read only access" in done.stderr


def test_guests_that_run_are_listed_since_their_start(host: LibvirtHost, guest: Guest) -> None:
    [domain] = told(host, "domains", "libvirtd")["domains"]
    assert (domain["name"], domain["state"]) == (guest.name, "running")
    assert domain["pid"] == guest.identity()[0]
    assert domain["uptime_seconds"] > 0
    host.control("restart", "libvirtd")
    [again] = told(host, "domains", "libvirtd")["domains"]
    assert again["started"] == pytest.approx(domain["started"], abs=1.5)


def test_names_are_shown_as_they_are(host: LibvirtHost, guest: Guest) -> None:
    definition = host.namespaces.shared / f"{guest.name}.xml"
    odd = host.namespaces.shared / "odd.xml"
    for name in ODD_NAMES:
        text = definition.read_text().replace(f">{guest.name}<", f">{name}<")
        odd.write_text(text)
        host.virsh("define", str(odd))
    found = {d["name"]: d["state"] for d in told(host, "domains", "libvirtd", "--all")["domains"]}
    assert found == dict.fromkeys(ODD_NAMES, "shut off") | {guest.name: "running"}
    assert [d["name"] for d in told(host, "domains", "libvirtd")["domains"]] == [guest.name]


def test_clients_are_listed_with_who_they_are(host: LibvirtHost, guest: Guest) -> None:
    for uri in told(host, "uris", "libvirtd")["uris"]:
        host.namespaces.run(
            *("sh", "-c", 'virsh -c "$0" event --loop --all >/dev/null 2>&1 &', uri)
        )

    def listed() -> list[dict[str, str]]:
        return list(told(host, "clients", "libvirtd")["clients"])

    eventually(lambda: len(listed()) == 3, "three clients")
    by_transport = {(c["transport"], c["readonly"]): c for c in listed()}
    assert by_transport["unix", "no"]["unix_user_name"] == "root"
    assert by_transport["tcp", "no"]["sock_addr"].startswith("127.0.0.1:")
    pids = [c["unix_process_id"] for c in listed() if c["transport"] == "unix"]
    shown = host.control("clients", "libvirtd").stdout
    assert all(f"root, virsh (pid {pid})" in shown for pid in pids)
    assert shown.count("may only look") == 1
    before = {c["id"] for c in listed()}
    host.control("reload", "libvirtd")  # HUP cuts nobody off
    assert host.virsh("version")
    assert {c["id"] for c in listed()} == before


def test_a_reload_of_libvirtd_reads_definitions_and_says_that_its_file_takes_a_restart(
    host: LibvirtHost, guest: Guest
) -> None:
    text = (host.namespaces.shared / f"{guest.name}.xml").read_text()
    written = host.namespaces.root / "etc/libvirt/qemu/by-hand.xml"
    written.write_text(text.replace(f">{guest.name}<", ">by-hand<"))
    assert "by-hand" not in host.virsh("list", "--all", "--name").split()
    said = host.control("reload", "libvirtd").stdout
    assert said.startswith("libvirtd has been reloaded: it has read again what is defined")
    assert "virtsupctl restart libvirtd" in said
    eventually(
        lambda: "by-hand" in host.virsh("list", "--all", "--name").split(), "the new definition"
    )
    host.virsh("undefine", "by-hand")


@pytest.mark.parametrize("daemon", ["libvirtd", "virtlogd", "virtlockd"])
def test_what_a_running_daemon_logs_can_be_changed_and_put_back(
    host: LibvirtHost, daemon: str
) -> None:
    before = told(host, "set-log", daemon)
    assert before == {"filters": "3:remote 4:event", "outputs": "3:stderr"}
    file = f"/var/log/libvirt/{daemon}-debug.log"
    host.control("set-log", daemon, "3:event 4:remote", "--level", "1")
    after = told(host, "set-log", daemon, "--outputs", f"3:stderr 1:file:{file}")
    assert after["filters"] == "3:event 4:remote 1:*"
    host.control("clients", daemon)
    log = host.namespaces.root / file[1:]
    eventually(lambda: "debug" in text_of(log), f"{daemon}'s debugging messages")
    assert told(host, "set-log", daemon, "--reset") == before


def test_what_the_daemon_is_told_holds_until_its_next_start(host: LibvirtHost) -> None:
    shown = host.control("set-log", "libvirtd", "1:qemu").stdout
    assert "until its next start" in shown
    assert '--outputs "1:stderr"' in shown
    host.control("restart", "libvirtd")
    assert told(host, "set-log", "libvirtd")["filters"] == "3:remote 4:event"


@pytest.mark.parametrize("action", ["uris", "domains", "clients", "set-log", "make-pki"])
def test_words_that_are_not_an_actions_own_are_a_wrong_command_line(
    host: LibvirtHost, action: str
) -> None:
    done = host.control(action, "libvirtd", "--nonsense", is_ok=False)
    assert done.returncode == 2
    assert f"see virtsupctl {action} libvirtd --help" in done.stderr


@pytest.mark.parametrize("action", ["domains", "clients", "set-log"])
def test_a_daemon_that_does_not_run_is_said_to_be_startable(host: LibvirtHost, action: str) -> None:
    host.control("stop", "libvirtd")
    try:
        done = host.control(action, "libvirtd", is_ok=False)
    finally:
        host.control("start", "libvirtd")
    assert done.returncode == 1
    assert "libvirtd does not run, or is only starting; virtsupctl start libvirtd" in done.stderr
