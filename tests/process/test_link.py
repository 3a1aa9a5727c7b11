"""The link as a process: what it says, how much it does at a time, and that nothing outlives it."""

import json
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.fake_virsh import URI, FakeVirsh, is_running, states
from tests.support.linking import LinkProcess, RefusedError, link

pytestmark = pytest.mark.process

PATIENT = 16


@pytest.fixture
def virsh(tmp_path: Path) -> Iterator[FakeVirsh]:
    fake = FakeVirsh(tmp_path / "virsh")
    yield fake
    fake.close()


@pytest.fixture
def libvirt(virsh: FakeVirsh) -> Iterator[LinkProcess]:
    """A link that speaks with libvirt through the fake."""
    with link(URI, "virsh", environment={"PATH": virsh.path}) as made:
        yield made


def send(libvirt: LinkProcess, do: str, *numbers: int) -> None:
    for number in numbers:
        request = {"id": number, "do": do, "domain": f"web{number}", "seconds": 1}
        libvirt.send(json.dumps(request).encode() + b"\n")


def test_it_is_up_before_anything_else(virsh: FakeVirsh, libvirt: LinkProcess) -> None:
    virsh.says("domstats", states(("web1", 1, 1)))
    libvirt.hear(up="virsh")
    virsh.tell("event 'lifecycle' for domain 'web1': Started Booted")
    assert libvirt.news("web1", "running", "booted")
    assert libvirt.ask("domains") == [["web1", "running", "booted", None, None]]
    assert libvirt.heard[0] == {"up": "virsh"}


def test_what_takes_long_keeps_no_short_work_waiting(
    virsh: FakeVirsh, libvirt: LinkProcess
) -> None:
    virsh.hangs("managedsave")
    virsh.says("destroy", "")
    libvirt.hear(up="virsh")
    send(libvirt, "save", *range(100, 100 + 2 * PATIENT))
    eventually(lambda: len(virsh.hanging()) == PATIENT, "as many saves as may be")
    libvirt.ask("destroy", domain="web1")
    assert libvirt.ask("domains") == []
    assert len(virsh.asked("managedsave")) == PATIENT
    virsh.release()
    for number in range(100, 100 + 2 * PATIENT):
        eventually(lambda n=number: answer(libvirt, n), "all saves")  # type: ignore[misc]


def answer(libvirt: LinkProcess, number: int) -> bool:
    libvirt.ask("destroy", domain="web1")  # so that something is said
    return any(message.get("id") == number for message in libvirt.heard)


def test_all_who_wait_for_a_list_share_the_next(virsh: FakeVirsh, libvirt: LinkProcess) -> None:
    virsh.hangs("domstats")
    libvirt.hear(up="virsh")
    send(libvirt, "domains", 100)
    eventually(virsh.hanging, "a list that is being made")
    send(libvirt, "domains", *range(101, 106))
    send(libvirt, "nonsense", 106)  # answered at once: whatever came before has been read
    libvirt.hear(id=106)
    virsh.says("domstats", states(("web1", 1, 1)))
    virsh.release()
    assert libvirt.hear(id=100) == {"id": 100, "ok": [], "also": []}
    later = libvirt.hear(id=101)
    assert later == {
        "id": 101,
        "ok": [["web1", "running", "booted", None, None]],
        "also": [102, 103, 104, 105],
    }


def test_what_was_forgotten_before_it_was_begun_is_not_done(
    virsh: FakeVirsh, libvirt: LinkProcess
) -> None:
    virsh.hangs("qemu-agent-command")
    libvirt.hear(up="virsh")
    send(libvirt, "ping", *range(100, 102 + PATIENT))
    eventually(lambda: len(virsh.hanging()) == PATIENT, "as many pings as may be")
    send(libvirt, "forget", 100 + PATIENT)
    libvirt.ask("domains")  # answered after all before it was read
    virsh.release()
    libvirt.hear(id=101 + PATIENT)
    names = [words[-2] for words in virsh.asked("qemu-agent-command")]
    assert f"web{100 + PATIENT}" not in names
    assert f"web{101 + PATIENT}" in names


def test_nothing_of_a_lost_connection_is_begun_any_more(
    virsh: FakeVirsh, libvirt: LinkProcess
) -> None:
    virsh.hangs("managedsave")
    libvirt.hear(up="virsh")
    send(libvirt, "save", *range(100, 100 + 2 * PATIENT))
    eventually(lambda: len(virsh.hanging()) == PATIENT, "as many saves as may be")
    virsh.lose()
    libvirt.hear(lost="virsh has ended")
    libvirt.hear(up="virsh")
    eventually(lambda: not any(map(is_running, virsh.hanging())), "an end of the saves")
    virsh.says("qemu-agent-command", "")
    libvirt.ask("ping", domain="web1", seconds=1)
    assert len(virsh.asked("managedsave")) == PATIENT


def test_a_connection_that_cannot_be_made_is_tried_again_and_again_with_growing_pauses(
    virsh: FakeVirsh,
) -> None:
    virsh.does("greeting", "cat /proc/uptime >>tried; echo 'error: failed to connect'; exit 1")
    with link(URI, "virsh", environment={"PATH": virsh.path}) as libvirt:
        for _ in range(4):
            libvirt.hear(lost="failed to connect")
        rows = (virsh.directory / "tried").read_text().splitlines()
        times = [float(row.split()[0]) for row in rows]
        pauses = [later - before for before, later in pairwise(times)]
        assert pauses[0] < pauses[1] < pauses[2]
        virsh.does("greeting", "echo connected")
        libvirt.nudge()
        libvirt.hear(up="virsh", seconds=1.5)


def test_a_virsh_that_is_missing_is_said_and_found_as_soon_as_it_is_there(virsh: FakeVirsh) -> None:
    virsh.remove()
    with link(URI, "virsh", environment={"PATH": virsh.path}) as libvirt:
        why = libvirt.hear_if(lambda message: "lost" in message)["lost"]
        assert "virsh is not installed (Debian: libvirt-clients)" in why
        virsh.install()
        libvirt.nudge()
        libvirt.hear(up="virsh")


@pytest.mark.parametrize("text", [b"nonsense\n", b"[]\n", b'{"do":"domains"}\n', b'{"id":[]}\n'])
def test_what_cannot_be_understood_ends_it_and_nothing_is_left(
    virsh: FakeVirsh, libvirt: LinkProcess, text: bytes
) -> None:
    libvirt.hear(up="virsh")
    libvirt.send(text)
    libvirt.process.wait(10)
    assert libvirt.process.stderr is not None
    said = libvirt.process.stderr.read().decode()
    assert said.startswith("libvirt link: not ")
    assert said.count("\n") == 1
    eventually(lambda: not any(map(is_running, virsh.watchers())), "an end of virsh")


def test_a_request_that_makes_no_sense_is_refused_and_no_other(libvirt: LinkProcess) -> None:
    libvirt.hear(up="virsh")
    for do, fields in (("fly", {}), ("shutdown", {}), ("ping", {"seconds": "x"})):
        with pytest.raises(RefusedError) as caught:
            libvirt.ask(do, domain="web1", **fields)
        assert caught.value.kind == "failed"
    assert libvirt.ask("domains") == []


def test_it_ends_with_virtsupd_and_takes_all_along(virsh: FakeVirsh, libvirt: LinkProcess) -> None:
    virsh.hangs("managedsave")
    libvirt.hear(up="virsh")
    send(libvirt, "save", 1)
    eventually(virsh.hanging, "a save")
    assert libvirt.process.stdin is not None
    libvirt.process.stdin.close()
    libvirt.process.wait(10)
    left = [*virsh.watchers(), *virsh.hanging()]
    eventually(lambda: not any(map(is_running, left)), "an end of all virshs")


def test_nothing_outlives_it_when_it_is_killed(virsh: FakeVirsh, libvirt: LinkProcess) -> None:
    virsh.hangs("managedsave")
    libvirt.hear(up="virsh")
    send(libvirt, "save", 1)
    eventually(virsh.hanging, "a save")
    libvirt.process.kill()
    left = [*virsh.watchers(), *virsh.hanging()]
    eventually(lambda: not any(map(is_running, left)), "an end of all virshs")


def test_it_ends_when_nobody_listens_any_more(virsh: FakeVirsh) -> None:
    with link(URI, "virsh", environment={"PATH": virsh.path}) as libvirt:
        libvirt.hear(up="virsh")
        assert libvirt.process.stdout is not None
        libvirt.process.stdout.close()
        virsh.lose()
        libvirt.process.wait(10)


def test_an_interrupt_of_the_terminal_is_virtsupds_matter(
    virsh: FakeVirsh, libvirt: LinkProcess
) -> None:
    libvirt.hear(up="virsh")
    libvirt.process.send_signal(signal.SIGINT)
    assert libvirt.ask("domains") == []
    assert is_running(virsh.await_watcher())


def test_threads_are_few_again_after_much_work(virsh: FakeVirsh, libvirt: LinkProcess) -> None:
    virsh.says("destroy", "")
    libvirt.hear(up="virsh")
    tasks = Path(f"/proc/{libvirt.process.pid}/task")
    for _ in range(3):
        libvirt.ask("destroy", domain="web1")
    # The first, the one that connects, and the one that listens to virsh.
    eventually(lambda: len(list(tasks.iterdir())) <= 3, "an end of the threads")
