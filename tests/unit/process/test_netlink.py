"""Questions to the kernel over netlink."""

import socket

import pytest

from virtsupd.process.netlink import dump, messages

RTM_GETLINK, RTM_NEWLINK = 18, 16


def test_a_dump_of_interfaces_has_the_loopback() -> None:
    found = list(dump(socket.NETLINK_ROUTE, RTM_GETLINK, b"\0" * 16))
    assert {kind for kind, _ in found} == {RTM_NEWLINK}
    assert any(b"lo\0" in content for _, content in found)


def test_what_the_kernel_refuses_is_an_error() -> None:
    with pytest.raises(OSError, match="netlink refuses"):
        list(dump(4, 4711, b"\0" * 16))  # NETLINK_SOCK_DIAG has no such kind


def test_a_torn_packet_ends_the_reading() -> None:
    assert list(messages(b"")) == []
    assert list(messages(b"\x00" * 16)) == []
    assert list(messages(b"\x10\x00\x00\x00\x03\x00" + b"\x00" * 10)) == [(3, b"")]
