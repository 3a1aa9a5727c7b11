"""What virtsupd says to the program that started it."""

import os
import socket
from pathlib import Path

import pytest

from virtsupd.process.own_notify import OwnNotify


@pytest.mark.parametrize("is_abstract", [True, False])
def test_lines_arrive_as_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_abstract: bool
) -> None:
    name = f"@virtsupd-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name[1:] if is_abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        own = OwnNotify()
        assert "NOTIFY_SOCKET" not in os.environ
        own.say("READY=1", "STATUS=here")
        assert listener.recv(100) == b"READY=1\nSTATUS=here"


def test_nobody_listening_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    OwnNotify().say("READY=1")


def test_without_the_variable_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    OwnNotify().say("READY=1")
