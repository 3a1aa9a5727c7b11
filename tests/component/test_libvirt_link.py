"""The libvirt link on a real libvirtd with real guests: one contract, kept by both backends."""

import importlib.util
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.guest import AGENT, Guest
from tests.support.libvirt import LibvirtHost, libvirt_host
from tests.support.linking import LinkProcess, Message, RefusedError, link

pytestmark = [pytest.mark.component, pytest.mark.timeout(240)]

URI = "qemu:///system"
BACKENDS = ("libvirt-python", "virsh")
HUNG_SECONDS = 60.0
ODD_NAMES = ('it\'s a "ü" $(id) `;', "-h", "--", " 7", "%s\\n", "Domain: 'x'", "agent")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    """A libvirtd with two guests that are not running: "tiny", and "agent" that has one."""
    with libvirt_host(tmp_path_factory.mktemp("host")) as host:
        host.await_running("virtlogd", "libvirtd")
        Guest(host.namespaces, "tiny").define()
        Guest(host.namespaces, "agent", devices=AGENT).define()
        yield host


@contextmanager
def linked(host: LibvirtHost, backend: str) -> Iterator[LinkProcess]:
    """Run a link inside the host, through one backend, and wait until it is connected."""
    has_library = importlib.util.find_spec("libvirt") is not None
    assert has_library or backend == "virsh", "no libvirt-python: scripts/setup test"
    words = [URI] if backend == "libvirt-python" else [URI, backend]
    enter = ["nsenter", "--target", str(host.namespaces.first), "--mount", "--net", "--pid"]
    with link(*words, enter=[*enter, "--root", "--wd", "--"]) as made:
        made.hear(up=backend)
        yield made


@pytest.fixture(params=BACKENDS)
def libvirt(host: LibvirtHost, request: pytest.FixtureRequest) -> Iterator[LinkProcess]:
    """A link; the two guests are off before and after."""
    with linked(host, request.param) as made:
        yield made
        for name in ("tiny", "agent"):
            made.ask("destroy", domain=name)


def started(libvirt: LinkProcess, name: str = "tiny") -> list[object]:
    libvirt.ask("start", domain=name)
    return libvirt.news(name, "running")


def refusal(libvirt: LinkProcess, do: str, domain: str, **fields: object) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        libvirt.ask(do, domain=domain, **fields)
    return caught.value


def await_booted(host: LibvirtHost, name: str) -> None:
    log = host.namespaces.root / f"var/log/libvirt/qemu/{name}-console.log"
    log.write_text("")
    eventually(lambda: "GUEST-READY" in text_of(log), f"boot of {name}", seconds=60)


def test_the_list_has_all_domains_and_the_qemu_of_those_that_run(
    host: LibvirtHost, libvirt: LinkProcess
) -> None:
    before = time.time()
    started(libvirt)
    found = {news[0]: news[1:] for news in libvirt.ask("domains")}
    assert found["agent"][0] == "off"
    state, reason, pid, since = found["tiny"]
    assert (state, reason) == ("running", "booted")
    assert pid == Guest(host.namespaces, "tiny").identity()[0]
    assert before - 2 < since < time.time() + 2


def test_what_runs_is_not_started_again_and_what_is_unknown_not_at_all(
    host: LibvirtHost, libvirt: LinkProcess
) -> None:
    started(libvirt)
    identity = Guest(host.namespaces, "tiny").identity()
    libvirt.ask("start", domain="tiny")
    assert Guest(host.namespaces, "tiny").identity() == identity
    missing = refusal(libvirt, "start", "nobody knows")
    assert missing.kind == "no-such-domain"
    assert "nobody knows" in str(missing)


def test_a_guest_that_powers_off_is_told_at_once(host: LibvirtHost, libvirt: LinkProcess) -> None:
    started(libvirt)
    await_booted(host, "tiny")
    libvirt.ask("shutdown", domain="tiny", how="acpi")
    assert libvirt.news("tiny", "off") == ["tiny", "off", "shutdown", None, None]


def test_the_agent_answers_once_it_runs_and_powers_its_guest_off(
    host: LibvirtHost, libvirt: LinkProcess
) -> None:
    started(libvirt, "agent")
    early = refusal(libvirt, "ping", "agent", seconds=1.0)
    assert early.kind == "refused", str(early)
    assert "not connected" in str(early)
    await_booted(host, "agent")

    def is_answered() -> bool:
        with suppress(RefusedError):
            libvirt.ask("ping", domain="agent", seconds=2.0)
            return True
        return False

    eventually(is_answered, "an answer of the agent", seconds=30)
    libvirt.ask("shutdown", domain="agent", how="agent")
    libvirt.news("agent", "off", "shutdown")


def test_a_guest_without_agent_refuses_what_needs_it(libvirt: LinkProcess) -> None:
    started(libvirt)
    assert refusal(libvirt, "ping", "tiny", seconds=1.0).kind == "refused"
    assert refusal(libvirt, "shutdown", "tiny", how="agent").kind == "refused"


def test_what_is_destroyed_is_off_and_may_be_destroyed_again(libvirt: LinkProcess) -> None:
    started(libvirt)
    libvirt.ask("destroy", domain="tiny")
    state = libvirt.state("tiny")
    assert state == ["tiny", "off", "destroyed", None, None]
    libvirt.news("tiny", "off", "destroyed")
    libvirt.ask("destroy", domain="tiny")
    assert refusal(libvirt, "shutdown", "tiny", how="acpi").kind == "refused"


def test_a_guest_that_is_paused_runs_and_is_no_end(host: LibvirtHost, libvirt: LinkProcess) -> None:
    started(libvirt)
    host.virsh("suspend", "tiny")
    assert libvirt.news("tiny", "paused")[3] == Guest(host.namespaces, "tiny").identity()[0]
    libvirt.ask("start", domain="tiny")
    libvirt.ask("resume", domain="tiny")
    libvirt.news("tiny", "running", "unpaused")


def test_a_guest_whose_qemu_dies_has_crashed(host: LibvirtHost, libvirt: LinkProcess) -> None:
    started(libvirt)
    host.namespaces.signal(Guest(host.namespaces, "tiny").identity()[0], "KILL")
    libvirt.news("tiny", "off", "crashed")


def test_a_saved_guest_goes_on_from_there(host: LibvirtHost, libvirt: LinkProcess) -> None:
    started(libvirt)
    libvirt.ask("save", domain="tiny")
    assert (libvirt.state("tiny") or [])[1:3] == ["off", "saved"]
    libvirt.news("tiny", "off", "saved")
    libvirt.ask("start", domain="tiny")
    libvirt.news("tiny", "running")
    eventually(lambda: "running" in (libvirt.state("tiny") or []), "a guest that goes on")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_may_be_anything(host: LibvirtHost, libvirt: LinkProcess, name: str) -> None:
    if name != "agent":
        Guest(host.namespaces, name).define()
    try:
        started(libvirt, name)
        assert (libvirt.state(name) or [])[1] == "running"
        libvirt.ask("destroy", domain=name)
        libvirt.news(name, "off", "destroyed")
    finally:
        if name != "agent":
            _undefine(host, name)


def test_a_name_that_is_a_number_is_not_taken_for_a_running_guests(
    host: LibvirtHost, libvirt: LinkProcess
) -> None:
    """Virsh looks for the numbers and UUIDs of domains before their names."""
    started(libvirt)
    uuid = host.virsh("domuuid", "tiny")
    for name in (host.virsh("domid", "tiny"), uuid):
        Guest(host.namespaces, name).define()
        try:
            libvirt.ask("destroy", domain=name)
            assert refusal(libvirt, "shutdown", name, how="acpi").kind == "refused"
            assert (libvirt.state("tiny") or [])[1] == "running"
        finally:
            _undefine(host, name)
            assert refusal(libvirt, "destroy", name).kind == "no-such-domain"


def test_a_domain_that_is_undefined_is_gone(host: LibvirtHost, libvirt: LinkProcess) -> None:
    Guest(host.namespaces, "brief").define()
    libvirt.news("brief", "off")
    _undefine(host, "brief")
    libvirt.news("brief", "gone")


def test_what_is_forgotten_at_its_end_is_gone_and_why(
    host: LibvirtHost, libvirt: LinkProcess
) -> None:
    Guest(host.namespaces, "brief").define()
    started(libvirt, "brief")
    _undefine(host, "brief")
    # Of what has ended by the time that this is news, nobody knows why; the pause is news after it.
    host.virsh("suspend", "brief")
    libvirt.news("brief", "paused")
    libvirt.ask("destroy", domain="brief")
    assert libvirt.news("brief", "gone")[2] == "destroyed"


def test_a_start_that_fails_says_why(host: LibvirtHost, libvirt: LinkProcess) -> None:
    Guest(host.namespaces, "broken", devices="<disk type='file'><source file='/none'/>"
        "<target dev='vda'/></disk>").define()  # fmt: skip
    try:
        failed = refusal(libvirt, "start", "broken")
        assert failed.kind == "failed"
        assert "/none" in str(failed)
    finally:
        _undefine(host, "broken")


@pytest.mark.parametrize("how", ["TERM", "KILL"])
def test_a_libvirtd_that_ends_is_noticed_at_once_and_its_guests_are_found_again(
    host: LibvirtHost, libvirt: LinkProcess, how: str
) -> None:
    started(libvirt)
    identity = Guest(host.namespaces, "tiny").identity()
    pid = host.pid("libvirtd")
    host.namespaces.signal(pid, how)
    libvirt.hear_if(_is_loss, seconds=5)
    host.await_replacement("libvirtd", pid)
    libvirt.nudge()
    libvirt.hear_if(_is_connection)
    assert (libvirt.state("tiny") or [])[1] == "running"
    assert Guest(host.namespaces, "tiny").identity() == identity
    libvirt.ask("destroy", domain="tiny")
    # A libvirtd that is still taking its guests back may tell nobody of the end.
    assert (libvirt.state("tiny") or [])[1] == "off"


def test_a_libvirtd_that_hangs_is_noticed(host: LibvirtHost) -> None:
    """Both at once: it takes half a minute."""
    with ExitStack() as undo:
        links = [undo.enter_context(linked(host, backend)) for backend in BACKENDS]
        pid = host.pid("libvirtd")
        host.namespaces.signal(pid, "STOP")
        try:
            for made in links:
                made.hear_if(_is_loss, seconds=HUNG_SECONDS)
        finally:
            host.namespaces.signal(pid, "CONT")
        for made in links:
            made.nudge()
            made.hear_if(_is_connection)


def test_a_libvirtd_that_hangs_while_much_is_asked_of_it_is_noticed(host: LibvirtHost) -> None:
    """However many calls hang with it, and the link outlives them."""
    with ExitStack() as undo:
        links = [undo.enter_context(linked(host, backend)) for backend in BACKENDS]
        started(links[0])
        eventually(lambda: (links[1].state("tiny") or [])[1] == "running", "the same of both")
        pid = host.pid("libvirtd")
        host.namespaces.signal(pid, "STOP")
        try:
            for made in links:
                made.request("domains")
            for made in links:
                _ask_until_it_is_lost(made, links)
        finally:
            host.namespaces.signal(pid, "KILL")
        host.await_replacement("libvirtd", pid)
        for made in links:
            made.nudge()
            made.hear_if(_is_connection)
            assert "tiny" in [news[0] for news in made.ask("domains")]
            made.ask("destroy", domain="tiny")


def _ask_until_it_is_lost(waiting: LinkProcess, links: list[LinkProcess]) -> None:
    deadline = time.monotonic() + HUNG_SECONDS
    while time.monotonic() < deadline:
        with suppress(AssertionError):
            waiting.hear_if(_is_loss, seconds=4)
            return
        for made in links:
            made.request("destroy", domain="tiny")
            made.request("domains")
            made.request("shutdown", domain="tiny", how="agent")
    raise AssertionError(f"the loss was not told; said: {waiting.heard}")


@pytest.mark.parametrize("place", [0, 1])
def test_either_of_two_connections_that_is_cut_is_made_anew(host: LibvirtHost, place: int) -> None:
    """As by `virt-admin client-disconnect`: one is for events, and one for questions."""
    before = _clients(host)
    with linked(host, "libvirt-python") as made:
        client = sorted(_clients(host) - before)[place]
        host.namespaces.run("virt-admin", "-q", "client-disconnect", "libvirtd", str(client))
        with suppress(RefusedError):
            made.ask("domains")
        made.hear_if(_is_loss, seconds=5)
        made.nudge()
        made.hear_if(_is_connection)
        assert "tiny" in [news[0] for news in made.ask("domains")]
        started(made)
        made.ask("destroy", domain="tiny")
        made.news("tiny", "off")


def _clients(host: LibvirtHost) -> set[int]:
    rows = host.namespaces.run("virt-admin", "-q", "client-list", "libvirtd").stdout.splitlines()
    return {int(row.split()[0]) for row in rows if row.split()[:1] and row.split()[0].isdigit()}


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_outlives_a_link_that_is_killed(host: LibvirtHost, backend: str) -> None:
    """By the end of its standard input all others of these tests end."""
    before = set(_speakers(host))
    with linked(host, backend) as made:
        mine = {pid: words for pid, words in _speakers(host).items() if pid not in before}
        [itself] = [pid for pid, words in mine.items() if "libvirtlink" in words]
        assert len(mine) == (2 if backend == "virsh" else 1)
        os.kill(itself, signal.SIGKILL)
        made.process.wait(10)
        eventually(lambda: not mine.keys() & _speakers(host).keys(), "an end of all it had started")


def _is_loss(message: Message) -> bool:
    return "lost" in message


def _is_connection(message: Message) -> bool:
    return "up" in message


def _speakers(host: LibvirtHost) -> dict[int, str]:
    """Return the processes inside that speak with libvirt, with their words."""
    inside = Path(f"/proc/{host.namespaces.first}/ns/pid").readlink()
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (directory / "cmdline").read_text()
            if URI in words and (directory / "ns/pid").readlink() == inside:
                found[int(directory.name)] = words
    return found


def _undefine(host: LibvirtHost, name: str) -> None:
    uuids = host.virsh("list", "--all", "--uuid", "--name").split("\n")
    [uuid] = [row[:36] for row in uuids if row[37:] == name]
    host.virsh("undefine", uuid)
