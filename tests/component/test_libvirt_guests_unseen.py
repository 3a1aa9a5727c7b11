"""Guests as services while libvirtd cannot tell of them, on real libvirtd with real guests."""

from collections.abc import Iterator

import pytest
from tests.support.checks import eventually, text_of
from tests.support.guest import AGENT, Guest
from tests.support.libvirt import LibvirtHost, libvirt_host

pytestmark = [pytest.mark.component, pytest.mark.timeout(240)]

SECONDS = 90.0
ROUNDS = 8
"""Seconds enough for a guest to be restarted, or destroyed, by what is configured here."""
TABLES = """
[libvirt]

[[guest]]
domain = "watched"
ready = {{ kind = "agent", timeout = "60s" }}
health = {{ kind = "agent", interval = "1s", timeout = "2s", failures = 3, on_failure = "restart" }}
stop = {{ how = "acpi", delay = "30s" }}

[[guest]]
domain = "polite"
stop = {{ how = "acpi", delay = "4s" }}

[service.clock]
command = ["/bin/sleep", "infinity"]
health = {{ kind = "exec", command = ["/bin/sh", "-c", "echo >>{rounds}"], interval = "1s" }}
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    """A host with two guests that run, and a service that is asked once a second whether it is well."""
    with libvirt_host(tmp_path_factory.mktemp("host")) as host:
        host.await_running("virtlogd", "libvirtd")
        Guest(host.namespaces, "watched", devices=AGENT).define()
        Guest(host.namespaces, "polite").define()
        configuration = host.namespaces.shared / "host.toml"
        text = configuration.read_text().removesuffix("[libvirt]\n")
        rounds = host.namespaces.shared / "rounds"
        configuration.write_text(text + TABLES.format(rounds=rounds))
        host.control("reload")
        host.control("wait", "--state", "running", "watched", "polite", "clock", seconds=SECONDS)
        yield host


def await_rounds(host: LibvirtHost) -> None:
    """Return when health checks have had their turns."""
    file = host.namespaces.shared / "rounds"
    seen = len(text_of(file))
    eventually(lambda: len(text_of(file)) >= seen + ROUNDS, "health checks", seconds=SECONDS)


def says(host: LibvirtHost, name: str) -> str:
    return str(host.status(name)["status_text"])


def test_a_health_check_ends_no_guest_that_libvirtd_cannot_tell_of(host: LibvirtHost) -> None:
    guest = Guest(host.namespaces, "watched")
    before, since = guest.identity(), host.status("watched")["since"]
    host.control("stop", "libvirtd")
    await_rounds(host)
    assert host.status("watched")["state"] == "running"
    host.control("start", "libvirtd")
    eventually(lambda: "not seen" not in says(host, "watched"), "a libvirt that sees it")
    host.virsh("suspend", "watched")
    eventually(lambda: says(host, "watched") == "paused", "a word of the pause")
    await_rounds(host)
    assert host.status("watched")["state"] == "running"
    host.virsh("resume", "watched")
    await_rounds(host)
    found = host.status("watched")
    assert (found["state"], found["since"], guest.identity()) == ("running", since, before)


def test_a_guest_that_somebody_starts_again_is_known_as_what_it_is(host: LibvirtHost) -> None:
    guest = Guest(host.namespaces, "polite")
    before, _ = guest.identity()
    host.namespaces.run("sh", "-c", "virsh -q destroy polite && virsh -q start polite")

    def is_known() -> bool:
        found = host.status("polite")
        return found["state"] == "running" and found["pid"] not in {None, before}

    eventually(is_known, "the process that runs", seconds=SECONDS)
    assert host.status("polite")["pid"] == guest.identity()[0]
    assert host.virsh("domstate", "polite") == "running"


def test_a_guest_that_was_never_asked_is_not_destroyed(host: LibvirtHost) -> None:
    guest = Guest(host.namespaces, "polite")
    eventually(lambda: guest.ticks() > 0, "a tick", seconds=SECONDS)
    host.control("stop", "libvirtd")
    host.control("--timeout", "1", "stop", "polite", is_ok=False)
    await_rounds(host)
    guest.assert_goes_on()
    assert "is ending (acpi) when libvirt can be asked" in host.control("why", "polite").stdout
    host.control("start", "libvirtd")
    eventually(lambda: host.status("polite")["state"] == "stopped", "its end", seconds=SECONDS)
    assert "the guest powered off" in str(host.status("polite")["last_exit"])
