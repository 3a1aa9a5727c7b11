"""Speaking with libvirt through virsh, which says odd things here; the real one has its own tests."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.fake_virsh import URI, FakeVirsh, is_running, states

from virtsupd.libvirtlink.messages import LinkError, News
from virtsupd.libvirtlink.virsh import Virsh

pytestmark = pytest.mark.process

UUID = "2b0da873-f9fb-46c2-970e-40bf7ac72691"
ODD = ["it's", 'a "b"', "$(id)", "ü €", "--all", "-h", "'", "Domain: 'x'", "a': Stopped Saved", ";"]


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVirsh]:
    fake = FakeVirsh(tmp_path / "virsh")
    monkeypatch.setenv("PATH", fake.path)
    yield fake
    fake.close()


class Heard:
    """What a backend tells."""

    def __init__(self) -> None:
        self.news: list[News] = []
        self.lost: list[str] = []

    def await_news(self, *expected: News) -> None:
        eventually(lambda: self.news[: len(expected)] == list(expected), f"{expected}: {self.news}")

    def await_lost(self) -> str:
        eventually(lambda: self.lost, "a loss")
        assert len(self.lost) == 1
        return self.lost[0]


def connected() -> tuple[Virsh, Heard]:
    backend, heard = Virsh(URI), Heard()
    backend.connect(heard.news.append, heard.lost.append)
    return backend, heard


def refusal(virsh: FakeVirsh, complaint: str) -> LinkError:
    virsh.fails("start", complaint)
    with pytest.raises(LinkError) as caught:
        Virsh(URI).start("web1")
    return caught.value


@pytest.mark.parametrize("name", ODD)
def test_a_name_is_one_word_that_is_no_option(virsh: FakeVirsh, name: str) -> None:
    backend = Virsh(URI)
    for command in ("start", "destroy", "managedsave", "shutdown", "qemu-agent-command"):
        virsh.says(command, "")
    backend.start(name)
    backend.destroy(name)
    backend.save(name)
    backend.shutdown(name, "acpi")
    backend.ping(name, 1.6)
    assert virsh.asked("start") == [["start", "--", name]]
    assert virsh.asked("destroy") == [["destroy", "--", name]]
    assert virsh.asked("managedsave") == [["managedsave", "--", name]]
    assert virsh.asked("shutdown") == [["shutdown", "--mode", "acpi", "--", name]]
    ping = ["qemu-agent-command", "--timeout", "2", "--", name, '{"execute":"guest-ping"}']
    assert virsh.asked("qemu-agent-command") == [ping]


@pytest.mark.parametrize("name", ["7", UUID])
def test_a_name_that_virsh_would_mistake_is_said_as_a_uuid(virsh: FakeVirsh, name: str) -> None:
    mine = UUID.replace("2", "3")
    virsh.says("list", f"{UUID} 77\n{mine} {name}")
    virsh.says("destroy", "")
    Virsh(URI).destroy(name)
    assert virsh.asked("destroy") == [["destroy", "--", mine]]
    virsh.says("list", f"{UUID} 77")
    with pytest.raises(LinkError, match=f"failed to get domain '{name}'"):
        Virsh(URI).destroy(name)


def test_what_was_asked_for_is_so_already_which_is_no_error(virsh: FakeVirsh) -> None:
    virsh.fails("start", "Domain is already active")
    Virsh(URI).start("web1")
    virsh.fails("destroy", "Requested operation is not valid: domain is not running")
    Virsh(URI).destroy("web1")


def test_the_list_has_every_name_as_it_is(virsh: FakeVirsh) -> None:
    virsh.says("domstats", states(*((name, 1, 1) for name in ODD), ("off", 5, 2)))
    found = Virsh(URI).domains()
    assert [news.domain for news in found] == [*ODD, "off"]
    assert found[-1] == News("off", "off", "destroyed")


def test_a_name_that_is_no_unicode_is_asked_for_as_it_was_told(virsh: FakeVirsh) -> None:
    virsh.does("domstats", r"printf 'Domain: \047caf\351\047\n  state.state=5\n'")
    [news] = Virsh(URI).domains()
    virsh.does("start", r'[ "$3" = "$(printf "caf\351")" ]')
    Virsh(URI).start(news.domain)


def test_a_list_that_is_not_understood_is_an_error(virsh: FakeVirsh) -> None:
    virsh.says("domstats", "Name: web1")
    with pytest.raises(LinkError, match="cannot understand what virsh says of domains"):
        Virsh(URI).domains()


def test_an_error_is_told_in_libvirts_words(virsh: FakeVirsh) -> None:
    error = refusal(virsh, "Failed to start domain 'web1'\nerror: Cannot access '/x'")
    assert (error.kind, str(error)) == (
        "failed",
        "Failed to start domain 'web1': Cannot access '/x'",
    )
    assert refusal(virsh, "access denied").kind == "denied"


@pytest.mark.parametrize("name", ["web1", *ODD])
def test_an_event_is_told_with_how_the_domain_is_by_now(virsh: FakeVirsh, name: str) -> None:
    virsh.says("domstats", states((name, 1, 1)))
    _, heard = connected()
    virsh.tell(f"event 'lifecycle' for domain '{name}': Defined Added")
    heard.await_news(News(name, "running", "booted"))
    virsh.lose()
    heard.await_lost()


def test_a_domain_that_was_forgotten_at_its_end_is_gone(virsh: FakeVirsh) -> None:
    virsh.fails("domstats", "failed to get domain 'web1'")
    _, heard = connected()
    virsh.tell("event 'lifecycle' for domain 'web1': Stopped Destroyed")
    virsh.tell("event 'lifecycle' for domain 'web1': Undefined Removed")
    heard.await_news(News("web1", "gone", "destroyed"), News("web1", "gone", "unknown"))
    virsh.lose()
    heard.await_lost()


def test_a_domain_that_cannot_be_asked_for_is_not_gone(virsh: FakeVirsh) -> None:
    """Libvirt stopped after that event: guests of it run on."""
    virsh.fails("domstats", "failed to connect to the hypervisor")
    _, heard = connected()
    virsh.tell("event 'lifecycle' for domain 'web1': Stopped Destroyed")
    eventually(lambda: virsh.asked("domstats"), "a question")
    virsh.tell("error: Disconnected from qemu:///system due to end of file")
    virsh.lose()
    assert heard.await_lost() == "Disconnected from qemu:///system due to end of file"
    assert heard.news == []


def test_lines_that_mean_nothing_are_no_events(virsh: FakeVirsh) -> None:
    virsh.says("domstats", states(("web1", 1, 1)))
    _, heard = connected()
    for text in ("", "event 'reboot' for domain 'web1'", "\0\1", "x" * 100_000):
        virsh.tell(text)
    virsh.tell("event 'lifecycle' for domain 'web1': Started Booted")
    heard.await_news(News("web1", "running", "booted"))
    virsh.lose()
    assert heard.await_lost() == "virsh has ended"


def test_a_connection_that_fails_says_why(virsh: FakeVirsh) -> None:
    virsh.does("greeting", "echo 'error: failed to connect'; echo 'error: No such file'; exit 1")
    with pytest.raises(LinkError, match="failed to connect: No such file") as caught:
        connected()
    assert caught.value.kind == "unreachable"
    timers = [each for each in threading.enumerate() if isinstance(each, threading.Timer)]
    waiting = [timer for timer in timers if not timer.finished.is_set()]
    assert not [timer for timer in waiting if timer.function.__name__ == "kill"]


def test_a_loss_ends_what_is_under_way(virsh: FakeVirsh) -> None:
    virsh.hangs("managedsave")
    backend, heard = connected()
    failed: list[str] = []

    def save() -> None:
        try:
            backend.save("web1")
        except LinkError as error:
            failed.append(error.kind)

    saving = threading.Thread(target=save)
    saving.start()
    eventually(virsh.hanging, "a save")
    virsh.lose()
    heard.await_lost()
    saving.join()
    assert failed == ["unreachable"]
    assert not is_running(*virsh.hanging())
