"""Hostile clients: `control_attack.py SOCKET COUNT KIND…`, so many of each kind, until standard input ends.

Each client that is cut off comes back. Says "attacking" once all have been connected once.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

STATUS = b'{"method":"org.virtsupd.Supervisor.Status","parameters":{"names":[]}}\0'
WATCH = b'{"method":"org.virtsupd.Supervisor.Watch","parameters":{"names":[]},"more":true}\0'
STOP = b'{"method":"org.virtsupd.Supervisor.Stop","parameters":{"names":["web"]}}\0'
HERD = (
    b'(shepherd-command (version 0) (action status) (service root) (arguments ()) (directory "/"))'
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send half a message and wait."""
    writer.write(b'{"method":"org.virts')
    await reader.read()


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send calls as fast as they are taken, and read all answers."""
    writer.write(STATUS * 50)
    while await reader.read(1 << 20):
        writer.write(STATUS)
        await writer.drain()


async def send_megabytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a message that never ends."""
    writer.write(b'{"method":"')
    while True:
        writer.write(b"[" * (1 << 18))
        await writer.drain()


async def send_costly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send messages just within the limit that are work to parse."""
    body = b'{"method":"a.b","parameters":{"x":[' + b"[0],{}," * 148_000 + b"0]}}\0"
    while True:
        writer.write(body)
        await writer.drain()
        await reader.readuntil(b"\0")


async def never_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask for more than the buffers hold, and read nothing."""
    writer.transport.pause_reading()  # type: ignore[attr-defined] # a socket transport
    while True:
        writer.write(STATUS * 100)
        await writer.drain()


async def send_garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send what is no message of either language."""
    for text in (b"{]\xff\xfe\0", b"(((((()))", b"\x00\x01\x02"):
        writer.write(text * 10)
    await writer.drain()
    await reader.read()


async def disappear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask for what takes long, and go."""
    writer.write(WATCH if id(writer) % 32 else STOP)
    await writer.drain()


async def use_herd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask for everything in herd's language."""
    writer.write(HERD)
    await reader.read()


KINDS: dict[str, Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]] = {
    "stall": stall,
    "flood": flood,
    "megabytes": send_megabytes,
    "costly": send_costly,
    "never-read": never_read,
    "garbage": send_garbage,
    "disappear": disappear,
    "herd": use_herd,
}


async def attack(path: str, kind: str, connected: asyncio.Semaphore) -> None:
    is_first = True
    while True:
        try:
            reader, writer = await asyncio.open_unix_connection(path, limit=1 << 20)
            if is_first:
                connected.release()
                is_first = False
            try:
                await KINDS[kind](reader, writer)
            finally:
                writer.transport.abort()
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0)


async def main() -> None:
    path, count, *kinds = sys.argv[1:]
    connected = asyncio.Semaphore(0)
    clients = [
        asyncio.ensure_future(attack(path, kind, connected))
        for kind in kinds
        for _ in range(int(count))
    ]
    for _ in clients:
        await connected.acquire()
    sys.stdout.write("attacking\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    await ended.wait()
    for client in clients:
        client.cancel()


os.nice(10)  # on two cores, it is the server that is to be measured and not the scheduler
asyncio.run(main())
