"""What can be refused before any connection is made; connections: tests/process."""

import pytest

from virtsupd.core.spec import BannerProbe, HttpProbe
from virtsupd.process.network import (
    ImpossibleProbeError,
    _request,
    attempt_banner,
    attempt_http,
    compile_pattern,
)


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "host_line"),
    [
        ("http://localhost/ok", "localhost", 80, "/ok", "localhost"),
        ("http://127.0.0.1:8080", "127.0.0.1", 8080, "/", "127.0.0.1:8080"),
        ("http://[::1]:81/a?b=c#d", "::1", 81, "/a?b=c", "[::1]:81"),
        ("http://me:secret@h/a b", "h", 80, "/a%20b", "h"),
    ],
)
def test_a_url_becomes_a_request(
    url: str, host: str, port: int, target: str, host_line: str
) -> None:
    found_host, found_port, request = _request(url)
    lines = request.decode().split("\r\n")
    assert (found_host, found_port) == (host, port)
    assert lines[:2] == [f"GET {target} HTTP/1.1", f"Host: {host_line}"]
    assert "Connection: close" in lines
    assert lines[-2:] == ["", ""]


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/",
        "localhost/ok",
        "http://",
        "http://h:x/",
        "http://[::1/",
        "http://h/\r\nX: y",
    ],
)
async def test_a_url_that_is_none_can_never_succeed(url: str) -> None:
    with pytest.raises(ImpossibleProbeError):
        await attempt_http(HttpProbe(url))


async def test_a_banner_probe_needs_an_expression_and_a_place() -> None:
    with pytest.raises(ImpossibleProbeError, match="no regular expression"):
        await attempt_banner(BannerProbe("(", port=1))
    with pytest.raises(ImpossibleProbeError, match="neither a port nor a path"):
        await attempt_banner(BannerProbe("SSH"))


def test_an_expression_is_anchored_at_lines() -> None:
    assert compile_pattern("^SSH-").search("Welcome\r\nSSH-2.0")
