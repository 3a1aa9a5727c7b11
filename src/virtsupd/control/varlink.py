"""Varlink: calls and replies, the methods every service has, and one connection's conversation.

A message is one JSON object and a NUL byte. What is not a message ends the connection; what is a
call that cannot be answered gets an error reply, and the connection goes on.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

from virtsupd.control.access import Grant, Role
from virtsupd.control.connection import Connection
from virtsupd.control.idl import Interface, MismatchError, parse_interface
from virtsupd.control.rendered import Parts, dumps
from virtsupd.core.frozen import frozen
from virtsupd.errors import ProtocolError, VirtsupdError

SERVICE = "org.varlink.service"
_SEPARATORS = (b",", b"[", b"{")
_MOST_VALUES = 20_000
"""A megabyte of brackets takes 100 ms to read and 30 MiB to hold; no call needs a hundred."""
_COMMAND_SECONDS = 0.001
"""What a call that waits counts as of its caller's share of the loop, whatever it really costs."""


class CallError(VirtsupdError):
    """A call is answered by this Varlink error; the connection goes on."""

    code = "call-refused"

    def __init__(self, name: str, parameters: Mapping[str, object] | None = None) -> None:
        """Take the full name of the error and its parameters."""
        super().__init__(name)
        self.name = name
        self.parameters = parameters or {}


@frozen
class Call:
    """One message of a client."""

    interface: str
    method: str
    parameters: Mapping[str, Any]
    more: bool
    oneway: bool


@frozen
class Request:
    """A call whose parameters fit the interface, by a peer who may make it."""

    parameters: Mapping[str, Any]
    """As JSON gave them: each checked against its type; optional ones may be missing."""
    grant: Grant
    wants_more: bool
    progress: Callable[[Parts], Awaitable[None]]
    """Sends a reply that is not the last; raises BrokenPipeError when the peer is gone."""
    turn: Callable[[], Awaitable[None]]
    """Waits for the next turn on the event loop: to be awaited between pieces of long work."""


@frozen
class Method:
    """What answers a method: the role a peer needs somewhere, and the coroutine that does it."""

    needed: Role
    run: Callable[[Request], Awaitable[Parts]]
    needs_more: bool = False
    waits: bool = True
    """Whether it may wait for something; otherwise all its work counts as the caller's share."""


@frozen
class Service:
    """An interface with its methods, and how its errors are told."""

    interface: Interface
    methods: Mapping[str, Method]
    error: Callable[[VirtsupdError], CallError]


def load_interface(name: str) -> Interface:
    """Return an interface whose description lies beside this module."""
    text = resources.files("virtsupd.control").joinpath(f"{name}.varlink").read_text("utf-8")
    return parse_interface(text)


def parse_call(message: bytes) -> Call:
    """Return what a message asks for.

    Raises:
        ProtocolError: it is no call.
    """
    if sum(map(message.count, _SEPARATORS)) > _MOST_VALUES:
        raise ProtocolError(f"the message has more than {_MOST_VALUES} values")
    try:
        call = json.loads(message.decode())
        if rb"\u" in message:
            json.dumps(call, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the message is not JSON: {error}") from error
    if not isinstance(call, dict) or not isinstance(call.get("method"), str):
        raise ProtocolError("the message is no object with a method")
    parameters = call.get("parameters")
    if not isinstance(parameters, dict | None):
        raise ProtocolError("the parameters are no object")
    flags = [call.get(flag) is True for flag in ("more", "oneway", "upgrade")]
    if flags[2]:
        raise ProtocolError("there is nothing to upgrade to")
    interface, _, method = call["method"].rpartition(".")
    return Call(interface, method, parameters or {}, flags[0], flags[1])


def reply(parameters: Parts, *, continues: bool = False) -> Iterable[bytes]:
    """Return a reply's bytes, in pieces."""
    yield b'{"parameters":'
    yield from parameters
    yield b',"continues":true}\0' if continues else b"}\0"


def error_reply(error: CallError) -> bytes:
    """Return an error reply's bytes."""
    return dumps({"error": error.name, "parameters": error.parameters}) + b"\0"


class Conversation:
    """Answers one connection's calls, one after another, until it ends."""

    def __init__(
        self, connection: Connection, services: Mapping[str, Service], grant: Grant
    ) -> None:
        """Prepare to answer for `services`, by the names of their interfaces."""
        self._connection = connection
        self._services = services
        self._grant = grant

    async def run(self) -> None:
        """Answer until the peer hangs up, or until a peer without any role has been told so.

        Raises:
            ProtocolError: the peer sent what is no message.
            BrokenPipeError: the peer is gone or does not read.
        """
        is_over = False
        while not is_over:
            # Nothing of one message is kept while the next one is awaited.
            is_over = not await self._take(await self._connection.message())

    async def _take(self, message: bytes | None) -> bool:
        """Answer a message; False if it was the last one."""
        if message is None:
            return False
        await self._connection.turn()
        with self._connection.account.charged():
            call = parse_call(message)
        with self._connection.until_hang_up():
            await self._answer(call)
        return not self._grant.is_empty

    async def _answer(self, call: Call) -> None:
        async def progress(parameters: Parts) -> None:
            if not call.oneway:
                await self._connection.send(reply(parameters, continues=True))

        try:
            last = reply(await self._perform(call, progress))
        except CallError as error:
            last = [error_reply(error)]
        if not call.oneway:
            await self._connection.send(last)

    async def _perform(self, call: Call, progress: Callable[[Parts], Awaitable[None]]) -> Parts:
        service = self._services.get(call.interface)
        if service is None:
            raise _refusal("InterfaceNotFound", interface=call.interface)
        method = service.methods.get(call.method)
        if method is None:
            raise _refusal("MethodNotFound", method=f"{call.interface}.{call.method}")
        try:
            self._check(service, call, method)
            turn = self._connection.turn
            request = Request(call.parameters, self._grant, call.more, progress, turn)
            if method.waits:
                self._connection.account.charge(_COMMAND_SECONDS)
                return await method.run(request)
            with self._connection.account.charged():
                return await method.run(request)
        except CallError:
            raise
        except VirtsupdError as error:
            raise service.error(error) from error
        except ConnectionError:
            raise  # the peer is gone
        except Exception as error:
            raise service.error(self._connection.defect(call.method, error)) from error

    def _check(self, service: Service, call: Call, method: Method) -> None:
        if self._grant.is_empty:
            self._grant.require(method.needed, call.method)
        if method.needs_more and not call.more:
            raise _refusal("ExpectedMore")
        wanted = service.interface.methods[call.method].parameters
        try:
            service.interface.check(call.parameters, wanted)
        except MismatchError as error:
            raise _refusal("InvalidParameter", parameter=error.path) from error


def _refusal(tag: str, **parameters: str) -> CallError:
    return CallError(f"{SERVICE}.{tag}", parameters)


def invalid_parameter(name: str) -> CallError:
    """Return the refusal of a parameter whose value is of the right type but not allowed."""
    return _refusal("InvalidParameter", parameter=name)


def introspection(interfaces: Sequence[Interface], version: str) -> Service:
    """Return the service that describes `interfaces` and itself; `version` is virtsupd's."""
    own = load_interface(SERVICE)
    known = {interface.name: interface for interface in (own, *interfaces)}

    async def get_info(_: Request) -> Parts:
        facts = {"vendor": "The virtsupd developers", "product": "virtsupd", "url": ""}
        return [dumps({**facts, "version": version, "interfaces": list(known)})]

    async def get_interface_description(request: Request) -> Parts:
        name = request.parameters["interface"]
        if name not in known:
            raise _refusal("InterfaceNotFound", interface=name)
        return [dumps({"description": known[name].text})]

    methods = {
        "GetInfo": Method(Role.VIEWER, get_info, waits=False),
        "GetInterfaceDescription": Method(Role.VIEWER, get_interface_description, waits=False),
    }
    return Service(own, methods, lambda _: _refusal("PermissionDenied"))
