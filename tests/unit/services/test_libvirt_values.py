import pytest

from virtsupd.services.libvirt_values import (
    LogFilter,
    LogOutput,
    distinguished_name,
    group,
    listen_address,
    log_filters,
    log_outputs,
    optional_path,
    port,
    socket_directory,
    socket_mode,
    user_name,
    uuid,
)

UUID = "8510b1a1-0afa-4da6-8111-785fae202c1d"


def test_filters_are_taken_apart() -> None:
    assert log_filters("3:remote  4:util.json") == (
        LogFilter(3, "remote"),
        LogFilter(4, "util.json"),
    )


@pytest.mark.parametrize("text", ["3:remote 4:event", "", "1:+qemu", "1:util.*"])
def test_filters_are_written_as_they_were(text: str) -> None:
    assert str(log_filters(text)) == text
    assert log_filters(log_filters(text)) == log_filters(text)


@pytest.mark.parametrize(
    "text", ["9:x", "12:x", "3:", "3:+", "3", "3:a:b", "3:a,4:b", "remote", "0:x", 3, "3:a\n", ":x"]
)
def test_filters_that_libvirt_refuses_or_cuts_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"filters|string"):
        log_filters(text)


def test_outputs_are_taken_apart() -> None:
    assert log_outputs("1:file:/x 3:journald") == (
        LogOutput(1, "file", "/x"),
        LogOutput(3, "journald"),
    )


@pytest.mark.parametrize("text", ["3:stderr", "1:file:/x 3:journald", "2:syslog:libvirtd"])
def test_outputs_are_written_as_they_were(text: str) -> None:
    assert str(log_outputs(text)) == text
    assert log_outputs(log_outputs(text)) == log_outputs(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7:nowhere",
        "3:stderr,4:journald",
        "3:stderr:x",
        "3:journald:",
        "3:file:x",
        "3:file:/a:b",
        "3:syslog:",
        "3:syslog",
        "3:syslog:a:b",
        "23:stderr",
        "stderr",
    ],
)
def test_outputs_to_nowhere_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="outputs"):
        log_outputs(text)


def test_modes_are_octal() -> None:
    assert (socket_mode("770"), socket_mode("0770")) == (0o770, 0o770)
    assert str(socket_mode("007")) == "0007"
    assert socket_mode(socket_mode("0700")) == 0o700


@pytest.mark.parametrize("value", ["rw", 770, "77", "07770", "0o770", "0778", " 770", "", True])
def test_other_modes_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="octal"):
        socket_mode(value)


@pytest.mark.parametrize(("text", "found"), [("16514", "16514"), ("080", "80"), ("https", "https")])
def test_ports(text: str, found: str) -> None:
    assert port(text) == found


@pytest.mark.parametrize("value", [16514, "0", "65536", "a b", "", "-1", " 80", "\u0661"])
def test_other_ports_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"port|string"):
        port(value)


@pytest.mark.parametrize("text", ["", "0.0.0.0", "::", "fe80::1", "localhost", "a.example.org"])
def test_addresses(text: str) -> None:
    assert listen_address(text) == text


@pytest.mark.parametrize("value", ["[::]", "127.1", "1.2.3.4.5", "a b", "::x", 0])
def test_other_addresses_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"address|string"):
        listen_address(value)


def test_uuids_have_one_spelling() -> None:
    assert uuid(UUID) == uuid(UUID.upper()) == uuid(UUID.replace("-", "")) == UUID
    assert uuid("") == ""


@pytest.mark.parametrize(
    "value", ["0" * 32, "1" * 8 + "-1111" * 3 + "-" + "1" * 12, "x", UUID + "-"]
)
def test_uuids_that_libvirt_refuses_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="UUID"):
        uuid(value)


def test_paths() -> None:
    assert (optional_path(""), optional_path("/k")) == ("", "/k")
    with pytest.raises(ValueError, match="absolute"):
        optional_path("key.pem")


def test_a_socket_directory_leaves_room_for_the_longest_name() -> None:
    assert len(socket_directory("/" + "x" * 87)) == 88
    assert socket_directory("/run//v/") == "/run/v"
    with pytest.raises(ValueError, match="at most 88 bytes"):
        socket_directory("/" + "x" * 88)


@pytest.mark.parametrize("text", ["libvirt", "0", "4294967294"])
def test_groups(text: str) -> None:
    assert group(text) == text


@pytest.mark.parametrize("value", ["", "a b", "a:b", "4294967295", 106, "a\n"])
def test_other_groups_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"group|string"):
        group(value)


@pytest.mark.parametrize("text", ["C=GB,O=Red Hat,CN=client1", "*CN=a", "*"])
def test_names_of_certificates(text: str) -> None:
    assert distinguished_name(text) == text


@pytest.mark.parametrize("value", ["", "client1", " CN=a", 1])
def test_names_that_match_no_certificate_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"distinguished|string"):
        distinguished_name(value)


def test_users() -> None:
    assert user_name("joe@EXAMPLE.COM") == "joe@EXAMPLE.COM"
    for value in ("", " joe", "joe "):
        with pytest.raises(ValueError, match="SASL"):
            user_name(value)
