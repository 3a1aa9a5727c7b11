import pytest

from virtsupd.services.libvirt_values import log_filters, log_outputs


@pytest.mark.parametrize("text", ["3:remote 4:event", "", "1:+qemu", "1:util.json"])
def test_filters(text: str) -> None:
    assert log_filters(text) == text


@pytest.mark.parametrize("text", ["9:x", "3:", "3:a,4:b", "remote", "0:x", 3, "3:a\n"])
def test_what_libvirt_would_end_over_is_refused_before(text: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - strings and numbers are refused in other words
        log_filters(text)


@pytest.mark.parametrize("text", ["3:stderr", "1:file:/x 3:journald", "2:syslog:libvirtd"])
def test_outputs(text: str) -> None:
    assert log_outputs(text) == text


@pytest.mark.parametrize("text", ["", "7:nowhere", "3:stderr,4:journald", "3:file:x", "3:syslog:"])
def test_outputs_to_nowhere_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="outputs"):
        log_outputs(text)
