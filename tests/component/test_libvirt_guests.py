"""Domains as services, on real libvirtd with real guests."""

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from tests.support.checks import eventually
from tests.support.guest import Guest
from tests.support.libvirt import COMMANDS, LibvirtHost, libvirt_host, successor

pytestmark = [pytest.mark.component, pytest.mark.timeout(240)]

SECONDS = 60.0
STOP_DELAY_SECONDS = 5.0
GUESTS = """
[libvirt]

[[guest]]
domain = "db"

[[guest]]
domain = "web"
requires = ["db"]
respawn = { delay = 1 }
stop = { how = "acpi", delay = "5s" }
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    """A host whose two guests were defined after virtsupd was started, and then came up."""
    with libvirt_host(tmp_path_factory.mktemp("host")) as host:
        host.await_running("virtlogd", "libvirtd")
        for name in ("db", "web"):
            Guest(host.namespaces, name).define()
        configuration = host.namespaces.shared / "host.toml"
        text = configuration.read_text().removesuffix("[libvirt]\n")
        configuration.write_text(text + GUESTS)
        host.control("reload")
        host.control("wait", "--state", "running", "db", "web", seconds=SECONDS)
        yield host


@pytest.fixture
def db(host: LibvirtHost) -> Guest:
    return await_up(host, "db")


@pytest.fixture
def web(host: LibvirtHost) -> Guest:
    return await_up(host, "web")


def await_up(host: LibvirtHost, name: str) -> Guest:
    if host.status(name)["state"] != "running":
        host.control("start", name, seconds=SECONDS)
    guest = Guest(host.namespaces, name)
    eventually(lambda: guest.ticks() > 0, f"a tick of {name}", seconds=SECONDS)
    return guest


def reason(host: LibvirtHost, name: str) -> str:
    found = host.status(name)["reason"]
    return str(found["text"]) if found else ""


def test_guests_start_in_the_order_of_the_graph(host: LibvirtHost, db: Guest, web: Guest) -> None:
    (first, _), (second, _) = db.identity(), web.identity()
    assert first < second
    assert (host.status("db")["pid"], host.status("web")["pid"]) == (first, second)


def test_a_guest_that_powers_itself_off_is_finished_and_seen_at_once(
    host: LibvirtHost, web: Guest
) -> None:
    host.virsh("shutdown", "--mode", "acpi", web.name)
    eventually(lambda: host.status("web")["state"] == "stopped", "web powered off")
    assert reason(host, "web") == "the guest powered off"
    host.control("start", "web", seconds=SECONDS)
    assert host.virsh("domstate", "web") == "running"


def test_a_guest_whose_machine_dies_comes_back(host: LibvirtHost, web: Guest) -> None:
    before = web.identity()
    host.namespaces.signal(before[0], "KILL")

    def is_back() -> bool:
        status = host.status("web")
        return status["state"] == "running" and status["pid"] not in {None, before[0]}

    eventually(is_back, "another web", seconds=SECONDS)
    assert host.status("web")["restarts"] >= 1


def test_a_guest_that_somebody_starts_by_hand_is_supervised(host: LibvirtHost, web: Guest) -> None:
    host.control("stop", "web", seconds=SECONDS)
    assert host.virsh("domstate", "web") == "shut off"
    host.virsh("start", "web")
    eventually(lambda: host.status("web")["state"] == "running", "web started by hand")
    assert host.status("web")["wanted"] is True
    assert host.virsh("domstate", "web") == "running"


def test_guests_live_without_libvirtd_and_are_found_again(
    host: LibvirtHost, db: Guest, web: Guest
) -> None:
    before = db.identity(), web.identity()
    host.control("stop", "libvirtd")
    assert [host.status(name)["state"] for name in ("db", "web")] == ["running", "running"]
    eventually(lambda: "not seen" in host.control("why", "web").stdout, "why it is not seen")
    assert re.search(r"Says +not seen: .*, .* ago", host.control("status", "web").stdout)
    eventually(lambda: "libvirt was lost" in str(host.status("web")), "a word of the loss")
    host.control("start", "libvirtd")
    eventually(lambda: "libvirt was lost" not in str(host.status("web")), "web is seen again")
    assert (db.identity(), web.identity()) == before
    host.virsh("shutdown", "--mode", "acpi", web.name)
    eventually(lambda: host.status("web")["state"] == "stopped", "news after the return")


def test_a_guest_that_dies_along_with_libvirtd_comes_back(host: LibvirtHost, web: Guest) -> None:
    """The next libvirtd has it as running at first, and tells nobody that it is not."""
    libvirtd, (qemu, _) = host.pid("libvirtd"), web.identity()
    host.namespaces.signal(libvirtd, "KILL")
    host.namespaces.signal(qemu, "KILL")
    host.await_replacement("libvirtd", libvirtd)

    def is_back() -> bool:
        status = host.status("web")
        return status["state"] == "running" and status["pid"] not in {None, qemu}

    eventually(is_back, "another web", seconds=SECONDS)
    assert web.identity()[0] != qemu


def test_what_another_guest_needs_is_not_ended_along_with_it(
    host: LibvirtHost, db: Guest, web: Guest
) -> None:
    refused = host.control("stop", "db", is_ok=False)
    assert refused.returncode == 1
    assert "web" in refused.stderr + refused.stdout
    db.assert_goes_on()
    web.assert_goes_on()


def test_a_check_finds_what_libvirt_does_not_know(host: LibvirtHost) -> None:
    shared = host.namespaces.shared
    other = shared / "other.toml"
    text = (shared / "host.toml").read_text()
    other.write_text(text.replace('domain = "db"', 'domain = "nowhere"\nname = "db"'))
    check = [str(COMMANDS / "virtsupd"), "--check", "--config", str(other)]
    said = host.namespaces.run(*check, is_ok=False, seconds=SECONDS).stderr
    fault = "found 'nowhere', which qemu:///system does not know; virsh define it first"
    assert [line for line in said.splitlines() if "guest" in line] == [
        f'warning: {other}: guest "nowhere": domain: {fault}'
    ]


def test_a_plan_finds_the_same_and_what_guests_would_miss(host: LibvirtHost, web: Guest) -> None:
    file = host.namespaces.shared / "host.toml"
    text = file.read_text()
    file.write_text(f'{text}[[guest]]\ndomain = "nowhere"\nautostart = false\n')
    unknown = host.control("plan")
    file.write_text(text.replace("[libvirt]\n", "", 1))
    alone = host.control("plan")
    file.write_text(text.replace("[libvirt]\n", '[libvirt]\nunix_sock_group = "no-such"\n', 1))
    refused = [host.control(verb, is_ok=False) for verb in ("plan", "reload")]
    file.write_text(text)
    fault = "found 'nowhere', which qemu:///system does not know; virsh define it first"
    assert [line for line in unknown.stderr.splitlines() if "guest" in line] == [
        f'warning: {file}: guest "nowhere": domain: {fault}'
    ]
    assert f"{file}: libvirtd ends, since its table is gone" in alone.stderr
    for found in refused:
        assert found.returncode == 2
        assert "libvirt.unix_sock_group: no group is named 'no-such'" in found.stderr
    assert host.control("plan").stdout == "a reload would change nothing\n"
    web.assert_goes_on()


def test_an_entry_that_leaves_the_file_leaves_its_guest_alone(
    host: LibvirtHost, web: Guest
) -> None:
    before = web.identity()
    configuration = host.namespaces.shared / "host.toml"
    whole = configuration.read_text()
    configuration.write_text(whole[: whole.rindex("[[guest]]")])
    host.control("reload")
    assert host.control("status", "web", is_ok=False).returncode == 4
    assert web.identity() == before
    configuration.write_text(whole)
    host.control("reload")
    host.control("wait", "--state", "running", "web", seconds=SECONDS)
    assert web.identity() == before


@contextmanager
def reloaded(host: LibvirtHost, changed: Callable[[str], str]) -> Iterator[None]:
    """Put a changed host file in force, and the old one again at the end."""
    configuration = host.namespaces.shared / "host.toml"
    whole = configuration.read_text()
    configuration.write_text(changed(whole))
    host.control("reload")
    try:
        yield
    finally:
        configuration.write_text(whole)
        host.control("reload")


def test_a_guest_that_libvirt_does_not_know_starts_when_it_is_defined(host: LibvirtHost) -> None:
    with reloaded(host, lambda whole: whole + '[[guest]]\ndomain = "new"\n'):
        eventually(lambda: host.status("new")["failed"], "its failure")
        assert "virsh define" in reason(host, "new")
        guest = Guest(host.namespaces, "new")
        guest.define()
        eventually(lambda: guest.ticks() > 0, "a tick of the new guest", seconds=SECONDS)
        assert host.status("new")["state"] == "running"
        host.control("stop", "new", seconds=SECONDS)
        host.virsh("undefine", "new")


def test_a_guest_that_runs_is_supervised_as_soon_as_it_is_declared(host: LibvirtHost) -> None:
    """However it came to run, and for how long: what libvirt told of it before went unheard."""
    guest = Guest(host.namespaces, "late")
    guest.start()
    before = guest.identity()
    entry = '[[guest]]\ndomain = "late"\nautostart = false\n'
    with reloaded(host, lambda whole: whole + entry):
        eventually(lambda: host.status("late")["state"] == "running", "late is seen")
        assert host.status("late")["wanted"] is True
        assert guest.identity() == before
        configuration = host.namespaces.shared / "host.toml"
        configuration.write_text(configuration.read_text() + 'name = "renamed"\n')
        host.control("reload")
        eventually(lambda: host.status("renamed")["state"] == "running", "its other name")
        assert guest.identity() == before
        host.control("stop", "renamed", seconds=SECONDS)
        assert host.virsh("domstate", "late") == "shut off"


def test_a_start_ends_when_a_reload_takes_back_what_it_waits_for(
    host: LibvirtHost, web: Guest
) -> None:
    """Its agent never answers: it has none."""
    host.control("stop", "web", seconds=SECONDS)

    def with_agent(whole: str) -> str:
        return whole.replace("respawn = { delay = 1 }", 'respawn = { delay = 1 }\nready = "agent"')

    with ThreadPoolExecutor() as threads:
        with reloaded(host, with_agent):
            start = threads.submit(host.control, "start", "web", seconds=SECONDS)
            eventually(lambda: "agent" in reason(host, "web"), "the wait", seconds=SECONDS)
            eventually(lambda: web.ticks() > 0, "a tick", seconds=SECONDS)
            before = web.identity()
            assert not start.done()
        assert start.result().returncode == 0
    assert web.identity() == before
    assert not host.status("web")["replacement_pending"]


def test_a_successor_takes_guests_over(host: LibvirtHost, db: Guest, web: Guest) -> None:
    before = db.identity(), web.identity()
    since = host.status("web")["since"]
    host.control("reexec")
    host.control("wait", "--state", "running", "db", "web", seconds=SECONDS)
    assert (db.identity(), web.identity()) == before
    assert host.status("web")["since"] == since
    web.assert_goes_on()


def test_a_paused_guest_is_saved_and_goes_on_with_its_next_start(
    host: LibvirtHost, web: Guest
) -> None:
    """It would not hear that it is to power off, and be destroyed after its delay."""
    ticks = web.ticks()
    host.virsh("suspend", web.name)
    eventually(lambda: host.status("web")["status_text"] == "paused", "a word of the pause")
    told = host.control("why", "web").stdout
    assert "Why           paused, " in told
    assert "virsh resume web" in told
    host.control("stop", "web", seconds=SECONDS)
    assert reason(host, "web").startswith("stopped by")
    assert "was saved" in str(host.status("web")["last_exit"])
    host.control("start", "web", seconds=SECONDS)
    host.namespaces.run("virsh", "resume", web.name, is_ok=False)
    eventually(lambda: web.ticks() > ticks, "a tick of the same boot", seconds=SECONDS)


def test_a_guest_is_ended_after_its_delay(host: LibvirtHost, web: Guest) -> None:
    """Its QEMU is stopped, and hears nothing: libvirt takes its time to kill it."""
    pid, _ = web.identity()
    host.namespaces.signal(pid, "STOP")
    began = time.monotonic()
    host.control("stop", "web", seconds=SECONDS)
    assert time.monotonic() - began >= STOP_DELAY_SECONDS
    assert host.virsh("domstate", "web") == "shut off"


def test_a_successor_knows_what_became_of_guests_and_ends_them_in_order(
    host: LibvirtHost, db: Guest, web: Guest
) -> None:
    """The last test on this host: nothing runs on it afterwards."""
    before, since = db.identity(), host.status("db")["since"]
    host.namespaces.signal(host.daemon_pid(), "KILL")
    host.virsh("shutdown", "--mode", "acpi", web.name)
    eventually(lambda: host.virsh("domstate", "web") == "shut off", "web powered off")
    db.assert_goes_on()
    with successor(host) as program:
        eventually(lambda: host.control("status", is_ok=False).returncode == 0, "an answer")
        host.await_running("db")
        eventually(lambda: reason(host, "web") == "the guest powered off", "news of web")
        assert (db.identity(), host.status("db")["since"]) == (before, since)
        web = await_up(host, "web")
        assert web.ticks()
        host.control("shutdown", seconds=SECONDS)
        program.wait(SECONDS)
    said = [json.loads(line) for line in host.namespaces.output.splitlines() if line[:1] == "{"]
    ends = [(one["how"], one["service"]) for one in said if one["event"] == "guest has ended"]
    assert ends[-2:] == [("shutdown", "web"), ("shutdown", "db")]
