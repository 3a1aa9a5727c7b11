"""Each virsh ends when it is to: by its deadline, with its connection, with whoever started it."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.fake_virsh import URI, FakeVirsh, is_running

from virtsupd.libvirtlink.messages import LinkError
from virtsupd.libvirtlink.virsh_commands import VirshCommands

pytestmark = pytest.mark.process


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVirsh]:
    fake = FakeVirsh(tmp_path / "virsh")
    monkeypatch.setenv("PATH", fake.path)
    yield fake
    fake.close()


def failure(*words: str, seconds: float | None = None, harmless: str = "-") -> LinkError:
    with pytest.raises(LinkError) as caught:
        VirshCommands(URI).run(*words, domain="web1", seconds=seconds, harmless=(harmless,))
    return caught.value


def test_a_command_is_run_in_the_language_that_is_understood(virsh: FakeVirsh) -> None:
    virsh.does("list", 'echo "$LC_ALL"; cat')
    assert VirshCommands(URI).run("list", "--", "a b") == "C\n"
    assert virsh.asked(URI) == [[URI, "list", "--", "a b"]]


def test_a_failure_has_its_kind_and_virshs_words(virsh: FakeVirsh) -> None:
    virsh.fails("start", "failed to get domain 'web1'")
    error = failure("start")
    assert (error.kind, str(error)) == ("no-such-domain", "failed to get domain 'web1'")


def test_a_harmless_complaint_is_none(virsh: FakeVirsh) -> None:
    virsh.fails("start", "Domain is already active")
    assert VirshCommands(URI).run("start", harmless=("already active",)) == ""


def test_one_that_says_nothing_has_ended_with_its_code(virsh: FakeVirsh) -> None:
    virsh.does("start", "exit 3")
    assert str(failure("start")) == "virsh ended with code 3"


def test_one_that_hangs_has_its_time_and_no_more(virsh: FakeVirsh) -> None:
    virsh.hangs("domstats")
    error = failure("domstats", seconds=0.5)
    assert (error.kind, str(error)) == ("unreachable", "libvirt did not answer virsh in time")
    assert not is_running(*virsh.hanging())


def test_what_is_under_way_ends_with_the_connection(virsh: FakeVirsh) -> None:
    virsh.hangs("managedsave")
    commands, errors = VirshCommands(URI), list[LinkError]()

    def save() -> None:
        try:
            commands.run("managedsave")
        except LinkError as error:
            errors.append(error)

    threads = [threading.Thread(target=save) for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(virsh.hanging()) == 3, "three commands")
    commands.abandon()
    for thread in threads:
        thread.join()
    assert [error.kind for error in errors] == ["unreachable"] * 3
    assert not any(is_running(pid) for pid in virsh.hanging())


def test_one_ends_with_the_thread_that_started_it(virsh: FakeVirsh) -> None:
    virsh.hangs("event")
    begun: list[subprocess.Popen[bytes]] = []
    commands = VirshCommands(URI)

    def begin() -> None:
        begun.append(commands.begin("event", stderr=subprocess.DEVNULL))
        eventually(virsh.hanging, "a command")

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    with begun[0] as process:
        assert process.wait(10) == -9


def test_a_virsh_that_is_missing_is_named(virsh: FakeVirsh) -> None:
    virsh.remove()
    error = failure("list")
    assert error.kind == "unreachable"
    assert str(error).startswith("virsh is not installed (Debian: libvirt-clients)")


def test_one_that_may_not_be_run_says_why(virsh: FakeVirsh, tmp_path: Path) -> None:
    (tmp_path / "virsh/bin/virsh").write_text("#!/missing/interpreter\n")
    (tmp_path / "virsh/bin/virsh").chmod(0o644)
    assert str(failure("list")) == "cannot run virsh: Permission denied"
