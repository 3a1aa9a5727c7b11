"""Calls and replies, and what every Varlink service answers."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.control import connected, running_server
from tests.support.hand_backend import HandBackend, snapshot_of, spec_of

from virtsupd.control.varlink import Call, CallError, error_reply, load_interface, parse_call, reply
from virtsupd.errors import ProtocolError

SERVICE = "org.varlink.service"


def test_a_call_is_read() -> None:
    call = parse_call(b'{"method":"a.b.C","parameters":{"x":1},"more":true}')
    assert call == Call("a.b", "C", {"x": 1}, more=True, oneway=False)
    assert parse_call(b'{"method":"a.b.C"}').parameters == {}


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"{}",
        b'{"method":1}',
        b'{"method":"a.b","parameters":[]}',
        b'{"method":"a.b","upgrade":true}',
        b'{"method":"\xff"}',
        b'{"method":"\\ud800"}',
        b'{"method":"a.b","parameters":{"x":' + b"[" * 5000 + b"]" * 5000 + b"}}",
        b'{"method":"a.b","parameters":{"x":[' + b"1," * 30_000 + b"1]}}",
        b'{"method":"a.b","parameters":{"x":' + b"1" * 10_000 + b"}}",
    ],
)
def test_what_is_no_call_is_refused(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_call(message)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_message_raises_anything_else(message: bytes) -> None:
    for candidate in (message, b'{"method":' + message + b"}"):
        try:
            parse_call(candidate)
        except ProtocolError:
            continue


def test_replies_end_with_one_nul() -> None:
    assert b"".join(reply([b'{"x":', b"1}"])) == b'{"parameters":{"x":1}}\0'
    assert b"".join(reply([b"{}"], continues=True)) == b'{"parameters":{},"continues":true}\0'
    assert (
        error_reply(CallError("a.B", {"x": "é"}))
        == b'{"error":"a.B","parameters":{"x":"\\u00e9"}}\0'
    )


class Unreadable:
    """Services that a disk keeps to itself."""

    def __iter__(self) -> Any:
        raise OSError(5, "Input/output error")


def daemon() -> HandBackend:
    return HandBackend(snapshot_of(spec_of("web")))


async def answer(path: Path, method: str, parameters: object = None, **flags: bool) -> Any:
    async with running_server(daemon(), path), connected(path) as caller:
        return await caller.call(method, parameters, **flags)


async def test_it_tells_about_itself(tmp_path: Path) -> None:
    found = await answer(tmp_path / "s", f"{SERVICE}.GetInfo")
    load_interface(SERVICE).check(
        found["parameters"], load_interface(SERVICE).methods["GetInfo"].reply
    )
    assert found["parameters"]["interfaces"] == [SERVICE, "org.virtsupd.Supervisor"]


@pytest.mark.parametrize("name", [SERVICE, "org.virtsupd.Supervisor"])
async def test_interfaces_describe_themselves(tmp_path: Path, name: str) -> None:
    found = await answer(tmp_path / "s", f"{SERVICE}.GetInterfaceDescription", {"interface": name})
    assert found["parameters"]["description"] == load_interface(name).text


@pytest.mark.parametrize(
    ("method", "parameters", "error", "details"),
    [
        ("org.example.X.Y", {}, "InterfaceNotFound", {"interface": "org.example.X"}),
        ("nothing.", {}, "InterfaceNotFound", {"interface": "nothing"}),
        ("Nope", {}, "MethodNotFound", {"method": "org.virtsupd.Supervisor.Nope"}),
        ("Status", {}, "InvalidParameter", {"parameter": "names"}),
        ("Status", {"names": [1]}, "InvalidParameter", {"parameter": "names[0]"}),
        ("Status", {"names": [], "x": 1}, "InvalidParameter", {"parameter": "x"}),
        ("Watch", {"names": []}, "ExpectedMore", {}),
        (
            f"{SERVICE}.GetInterfaceDescription",
            {"interface": "a.b"},
            "InterfaceNotFound",
            {"interface": "a.b"},
        ),
    ],
)
async def test_wrong_calls_are_answered_and_the_connection_goes_on(
    tmp_path: Path, method: str, parameters: object, error: str, details: object
) -> None:
    path = tmp_path / "s"
    async with running_server(daemon(), path), connected(path) as caller:
        found = await caller.call(method, parameters)
        assert found == {"error": f"{SERVICE}.{error}", "parameters": details}
        assert "error" not in await caller.call("Status", {"names": []})


async def test_a_defect_is_answered_and_the_connection_goes_on(tmp_path: Path) -> None:
    backend = daemon()
    services = backend.by_name
    async with running_server(backend, tmp_path / "s"), connected(tmp_path / "s") as caller:
        for defect in (None, Unreadable()):
            backend.by_name = defect  # type: ignore[assignment] # what no backend should do
            found = await caller.call("Status", {"names": []})
            assert found["error"] == "org.virtsupd.Supervisor.Internal"
            assert found["parameters"]["message"].startswith(
                "cannot carry out Status: a defect of virtsupd ("
            )
        backend.by_name = services
        assert "error" not in await caller.call("Status", {"names": []})


async def test_a_oneway_call_gets_no_reply(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with running_server(daemon(), path), connected(path) as caller:
        await caller.send("Status", {"names": []}, oneway=True)
        await caller.send("Nope", oneway=True)
        assert "text" in (await caller.call("Cat", {"name": "web"}))["parameters"]


@pytest.mark.parametrize("cut", range(0, 90, 7))
async def test_calls_are_read_however_they_are_cut(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "s"
    text = b'{"method":"org.virtsupd.Supervisor.Cat","parameters":{"name":"web"}}\0' * 2
    async with running_server(daemon(), path), connected(path) as caller:
        for piece in (text[:cut], text[cut:]):
            if piece:
                await caller.send_bytes(piece)
        assert [await caller.receive() for _ in range(2)] == [
            {"parameters": {"text": "# web\n"}}
        ] * 2


async def test_byte_by_byte(tmp_path: Path) -> None:
    path = tmp_path / "s"
    text = b'{"method":"org.virtsupd.Supervisor.Cat","parameters":{"name":"web"}}\0'
    async with running_server(daemon(), path), connected(path) as caller:
        for byte in text:
            await caller.send_bytes(bytes([byte]))
        assert await caller.receive() == {"parameters": {"text": "# web\n"}}


@pytest.mark.parametrize("sent", [b"{\0", b'{"x":1}\0', b'{"method":1}\0', b"{}\0"])
async def test_what_is_no_call_ends_the_connection(tmp_path: Path, sent: bytes) -> None:
    path = tmp_path / "s"
    async with running_server(daemon(), path), connected(path) as caller:
        await caller.send_bytes(sent)
        assert await caller.is_cut()
