"""Speaking with libvirt through its library: here with the driver that it has for tests.

That driver has one domain, "test", which runs; it lives in the process of the link.
"""

import importlib.util
from collections.abc import Iterator

import pytest
from tests.support.linking import LinkProcess, RefusedError, link

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        importlib.util.find_spec("libvirt") is None,
        reason="libvirt-python is not installed; tests/component needs it and says so",
    ),
]


@pytest.fixture
def libvirt() -> Iterator[LinkProcess]:
    with link("test:///default") as made:
        made.hear(up="libvirt-python")
        yield made


def refusal(libvirt: LinkProcess, do: str, **fields: object) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        libvirt.ask(do, **fields)
    return caught.value


def test_each_change_is_told_with_its_reason(libvirt: LinkProcess) -> None:
    assert libvirt.ask("domains") == [["test", "running", "unknown", None, None]]
    libvirt.ask("destroy", domain="test")
    assert libvirt.news("test", "off", "destroyed")
    libvirt.ask("start", domain="test")
    assert libvirt.news("test", "running", "booted")
    libvirt.ask("save", domain="test")
    assert libvirt.news("test", "off", "saved")


def test_what_is_so_already_is_no_error(libvirt: LinkProcess) -> None:
    libvirt.ask("start", domain="test")
    libvirt.ask("destroy", domain="test")
    libvirt.ask("destroy", domain="test")
    assert libvirt.ask("domains") == [["test", "off", "destroyed", None, None]]


def test_errors_have_their_kind_and_libvirts_words(libvirt: LinkProcess) -> None:
    for do, fields in (("start", {}), ("destroy", {}), ("save", {}), ("shutdown", {"how": "acpi"})):
        error = refusal(libvirt, do, domain="no such", **fields)
        assert error.kind == "no-such-domain"
        assert "Domain not found" in str(error)
    libvirt.ask("destroy", domain="test")
    error = refusal(libvirt, "save", domain="test")
    assert (error.kind, "not running" in str(error)) == ("refused", True)


def test_a_guest_without_agent_is_not_pinged(libvirt: LinkProcess) -> None:
    error = refusal(libvirt, "ping", domain="test", seconds=1.0)
    assert error.kind in {"refused", "failed"}
    assert str(error)


def test_a_connection_that_cannot_be_made_says_why() -> None:
    with link("test:///no/such/file") as libvirt:
        why = libvirt.hear_if(lambda message: "lost" in message)["lost"]
        assert "/no/such/file" in why
        assert refusal(libvirt, "domains").kind == "unreachable"
        assert refusal(libvirt, "start", domain="test").kind == "unreachable"


def test_it_ends_with_virtsupd(libvirt: LinkProcess) -> None:
    assert libvirt.process.stdin is not None
    libvirt.process.stdin.close()
    libvirt.process.wait(10)
