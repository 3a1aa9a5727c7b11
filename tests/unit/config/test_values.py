import math
from collections.abc import Callable

import pytest

from virtsupd.config import values


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0.0),
        (2, 2.0),
        (0.25, 0.25),
        ("1500ms", 1.5),
        ("5s", 5.0),
        ("1.5s", 1.5),
        ("2min", 120.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("5 s", 5.0),
        ("5sec", 5.0),
        ("1.5 sec", 1.5),
        ("2m", 120.0),
        ("2 min", 120.0),
        ("1 h", 3600.0),
        ("1 d", 86400.0),
    ],
)
def test_durations(written: object, seconds: float) -> None:
    assert values.duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    [
        -1,
        "-1s",
        "5",
        "5M",
        "5 mn",
        "5  s",
        "5s ",
        "",
        "s",
        True,
        None,
        [],
        math.nan,
        math.inf,
        "9" * 30 + "s",
        "٣s",
    ],
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="a duration"):
        values.duration(written)


def test_some_durations_may_not_be_zero() -> None:
    assert values.positive_duration("1ms") == 0.001
    with pytest.raises(ValueError, match="longer than 0"):
        values.positive_duration(0)


@pytest.mark.parametrize(
    ("written", "count"),
    [
        (0, 0),
        (4096, 4096),
        ("10", 10),
        ("10K", 10240),
        ("2MB", 2 << 20),
        ("2MiB", 2 << 20),
        ("1 G", 1 << 30),
        ("10 MB", 10 << 20),
        ("1TiB", 1 << 40),
        ("7B", 7),
    ],
)
def test_sizes(written: object, count: int) -> None:
    assert values.size(written) == count


@pytest.mark.parametrize(
    "written", [-1, "2Mb", "2m", "", "MB", 1.5, True, 2**63, "9" * 25, "9999999T"]
)
def test_what_is_no_size_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="a size"):
        values.size(written)


def test_modes_are_octal_strings() -> None:
    assert values.mode("0640") == 0o640
    assert values.mode("022") == 0o022
    assert values.mode("0o600") == 0o600
    for written in (640, "640x", "0888", "77", "01777"):
        with pytest.raises(ValueError, match="octal"):
            values.mode(written)


@pytest.mark.parametrize(
    ("parser", "written", "result"),
    [
        (values.text, "", ""),
        (values.filled_text, "x", "x"),
        (values.absolute_path, "/a//b/./c/", "/a/b/c"),
        (values.absolute_path, "/", "/"),
        (values.absolute_path, "/a/../b", "/a/../b"),
        (values.socket_path, "/run/" + "x" * 102, "/run/" + "x" * 102),
        (values.service_name, "file-system-/proc", "file-system-/proc"),
        (values.account, "www-data", "www-data"),
        (values.account, 33, "33"),
        (values.variable_name, "A_1", "A_1"),
        (values.environment_file, "-/etc/x", "-/etc/x"),
        (values.environment_file, "/etc/x", "/etc/x"),
        (values.regular_expression, "^a+$", "^a+$"),
        (values.signal, "TERM", "SIGTERM"),
        (values.signal, "sigusr1", "SIGUSR1"),
        (values.limit_name, "RLIMIT_NOFILE", "nofile"),
        (values.capability, "net_admin", "CAP_NET_ADMIN"),
        (values.capability, "CAP_BPF", "CAP_BPF"),
        (values.limit, 5, (5, 5)),
        (values.limit, "64MiB", (64 << 20, 64 << 20)),
        (values.limit, "infinity", (None, None)),
        (values.limit, [0, "infinity"], (0, None)),
        (values.limit, ["1K", 2048], (1024, 2048)),
        (values.host, "::1", "::1"),
        (values.host, "10.0.0.1", "10.0.0.1"),
        (values.host, "db-1.local", "db-1.local"),
        (values.domain_name, "web 1+é", "web 1+é"),
        (values.libvirt_uri, "qemu:///system", "qemu:///system"),
        (values.http_url, "http://localhost/ok", "http://localhost/ok"),
        (values.http_url, "http://[::1]:80/x?y=1", "http://[::1]:80/x?y=1"),
        (values.one_or_many, "x", ["x"]),
        (values.one_or_many, ["x", "y"], ["x", "y"]),
    ],
)
def test_values_that_are_fine(
    parser: Callable[[object], object], written: object, result: object
) -> None:
    assert parser(written) == result


@pytest.mark.parametrize(
    ("parser", "written", "allowed"),
    [
        (values.text, 5, "a string"),
        (values.text, "a\0b", "NUL"),
        (values.filled_text, "", "not empty"),
        (values.absolute_path, "run/x", "absolute path"),
        (values.socket_path, "/run/" + "x" * 103, "107 bytes for a Unix socket, this has 108"),
        (values.socket_path, "/" + "ä" * 54, "this has 109"),
        (values.service_name, "-x", "letters, digits"),
        (values.service_name, "root", "means virtsupd itself"),
        (values.account, "", "user or group database"),
        (values.account, -1, "user or group database"),
        (values.account, "a:b", "user or group database"),
        (values.account, True, "user or group database"),
        (values.variable_name, "1A", "no digit first"),
        (values.environment_file, "etc/x", 'leading "-"'),
        (values.regular_expression, "(", "regular expression"),
        (values.regular_expression, "", "not empty"),
        (values.signal, "TREM", "did you mean SIGTERM"),
        (values.signal, 15, "a string"),
        (values.limit_name, "nofiles", "did you mean nofile"),
        (values.capability, "CAP_NET_ADMN", "did you mean CAP_NET_ADMIN"),
        (values.limit, "x", "infinity"),
        (values.limit, [3, 2], "soft limit"),
        (values.limit, ["infinity", 2], "soft limit"),
        (values.limit, [1, 2, 3], "the hard limit"),
        (values.host, "a b", "host name"),
        (values.host, "1.2.3.400", "host name"),
        (values.host, "::g", "host name"),
        (values.domain_name, "", "not empty"),
        (values.domain_name, "a/b", "without a slash"),
        (values.domain_name, "a\nb", "printable"),
        (values.libvirt_uri, "qemu+ssh://far/system", '"qemu:///system"'),
        (values.libvirt_uri, 5, '"qemu:///system"'),
        (values.http_url, "https://x/", "http only"),
        (values.http_url, "http:///x", "http only"),
        (values.http_url, "http://x:99999/", "http only"),
    ],
)
def test_values_that_are_refused_say_what_is_allowed(
    parser: Callable[[object], object], written: object, allowed: str
) -> None:
    with pytest.raises(ValueError, match=allowed.replace("(", r"\(")):
        parser(written)


@pytest.mark.parametrize(
    "written",
    ["/run/x", "@x", "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", "80", 80, "db.local:65535"],
)
def test_addresses_to_listen_on(written: object) -> None:
    assert values.listen_address(written) == str(written)


@pytest.mark.parametrize(
    "written",
    [
        "",
        0,
        "0",
        65536,
        "a:b",
        ":80",
        "::1:80",
        "[::1]",
        "1.2.3:80",
        "@",
        "@" + "x" * 107,
        "x",
        True,
        5.5,
        "x\0:80",
    ],
)
def test_addresses_that_nobody_can_listen_on(written: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text differs with the form that was tried
        values.listen_address(written)
