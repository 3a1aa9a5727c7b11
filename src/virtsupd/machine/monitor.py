"""A connection to QEMU's monitor, over qemu.qmp, whose errors are put in plain words."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

from qemu.qmp import QMPClient, QMPError, Runstate

from virtsupd.errors import VirtsupdError
from virtsupd.machine.peer import connected

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 10.0


class MonitorError(VirtsupdError):
    """A monitor cannot be reached, or refused a command; the message says why."""

    code = "monitor"


class Monitor:
    """One client of a monitor, which serves one at a time. Leaves no task behind once it is closed."""

    def __init__(self, client: QMPClient) -> None:
        self._client = client

    @classmethod
    async def connect(cls, path: str, *, timeout_seconds: float = _CONNECT_SECONDS) -> Self:
        """Connect to the monitor at a path, and return when it takes commands.

        Raises:
            MonitorError: nobody listens, somebody else is connected, or it is no monitor.
        """
        client = QMPClient()
        try:
            async with asyncio.timeout(timeout_seconds):
                peer = await connected(path)
                await client.connect(peer)
        except TimeoutError as error:
            await _disconnect(client)
            text = f"{path} gives no greeting: another client is connected, or QEMU is stuck"
            raise MonitorError(text) from error
        except (QMPError, OSError) as error:
            await _disconnect(client)
            raise MonitorError(f"{path}: {_reason(error)}") from error
        return cls(client)

    async def execute(
        self,
        command: str,
        arguments: Mapping[str, object] | None = None,
        *,
        timeout_seconds: float = _ANSWER_SECONDS,
    ) -> object:
        """Run a command and return what it returns.

        Raises:
            MonitorError: QEMU refused it, is gone, or did not answer in time.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                found: object = await self._client.execute(
                    command, dict(arguments) if arguments is not None else None
                )
        except TimeoutError as error:
            raise MonitorError(f"no answer to {command} within {timeout_seconds:g} s") from error
        except (QMPError, OSError) as error:
            raise MonitorError(f"{command}: {_reason(error)}") from error
        return found

    async def lend(self, descriptor: int) -> int:
        """Give QEMU an opened file, which it then knows as /dev/fdset/N; return N.

        Raises:
            MonitorError: it does not take it.
        """
        try:
            self._client.send_fd_scm(descriptor)
        except (QMPError, OSError) as error:
            raise MonitorError(f"cannot hand a file over: {_reason(error)}") from error
        answer = await self.execute("add-fd")
        number = answer.get("fdset-id") if isinstance(answer, Mapping) else None
        if not isinstance(number, int):
            raise MonitorError(f"add-fd has answered {answer!r}")
        return number

    async def next_event(self) -> tuple[str, Mapping[str, object]] | None:
        """Return the next event, its name and its data; None once QEMU has closed the connection."""
        events = self._client.events
        if events.empty():
            told = asyncio.ensure_future(events.get())  # noqa: TID251 - two waits of one library
            lost = asyncio.ensure_future(self._loss())  # noqa: TID251 - likewise
            try:
                await asyncio.wait((told, lost), return_when=asyncio.FIRST_COMPLETED)
                if told.done():
                    return _event(told.result())
            finally:
                told.cancel()
                lost.cancel()
        return _event(await events.get()) if not events.empty() else None

    async def _loss(self) -> None:
        """Return once QEMU has closed the connection, perhaps before anybody waited for that."""
        while self._client.runstate is Runstate.RUNNING:
            await self._client.runstate_changed()

    async def close(self) -> None:
        """Close the connection; never raises."""
        await _disconnect(self._client)


async def _disconnect(client: QMPClient) -> None:
    # Of a connection that QEMU has closed it raises what went wrong there, EOFError among others.
    with suppress(QMPError, OSError, EOFError):
        await client.disconnect()


def _event(message: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
    facts = message.get("data")
    return str(message.get("event")), facts if isinstance(facts, Mapping) else {}


def _reason(error: BaseException) -> str:
    """Return the deepest cause, which is what the kernel or QEMU said."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
