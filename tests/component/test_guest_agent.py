"""`[qemu_guest_agent]` with the real qemu-ga, whose channel to a host is a pseudo terminal."""

import asyncio
import os
import pty
import signal
import tty
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.support.daemon import Daemon, Host, host

from virtsupd.machine.agent import GuestAgent

pytestmark = [pytest.mark.component, pytest.mark.timeout(60)]

OWN_RUN = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs run /run && exec "$@"', "sh")
"""The agent keeps its state in /var/run."""


class Channel:
    """The end of the channel that is the host's."""

    def __init__(self, made: Host) -> None:
        self.path = made.root / "channel"
        self._socket = made.root / "agent"
        self._host_end, self._guest_end = pty.openpty()
        tty.setraw(self._guest_end)

    def appear(self) -> None:
        """Have the device be there."""
        self.path.symlink_to(os.ttyname(self._guest_end))

    def ask(self, command: str) -> object:
        """Return what the agent answers virtsupd on the host."""
        return asyncio.run(self._ask(command))

    async def _ask(self, command: str) -> object:
        server = await asyncio.start_unix_server(self._join, self._socket)
        agent = await GuestAgent.open(str(self._socket))
        try:
            return await agent.execute(command)
        finally:
            await agent.close()
            server.close()
            await server.wait_closed()
            self._socket.unlink()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Be QEMU, which passes on what comes through its socket, and back."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._host_end, lambda: writer.write(os.read(self._host_end, 65536)))
        try:
            while asked := await reader.read(4096):
                os.write(self._host_end, asked)
        finally:
            loop.remove_reader(self._host_end)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def close(self) -> None:
        os.close(self._host_end)
        os.close(self._guest_end)


@pytest.fixture
def guest() -> Iterator[tuple[Host, Channel]]:
    with host("", prefix=OWN_RUN) as made:
        channel = Channel(made)
        made.write(f'[qemu_guest_agent]\ndevice = "{channel.path}"\n')
        yield made, channel
        channel.close()


def killed(daemon: Daemon) -> int:
    """Kill the agent and return which process it was."""
    pid = daemon.pid("qemu-guest-agent")
    os.kill(pid, signal.SIGKILL)
    return pid


def test_it_waits_for_its_device_answers_and_is_there_again_when_it_was_killed(
    guest: tuple[Host, Channel],
) -> None:
    made, channel = guest
    with made.started() as daemon:
        waiting = daemon.await_status(
            "qemu-guest-agent", lambda status: status["reason"], "that it waits"
        )
        assert waiting["state"] == "stopped"
        why = daemon.ctl("why", "qemu-guest-agent", expect=None).stdout
        assert str(channel.path) in why
        channel.appear()
        daemon.await_state("qemu-guest-agent", "running")
        assert channel.ask("guest-ping") == {}
        first = killed(daemon)
        daemon.await_status(
            "qemu-guest-agent",
            lambda status: status["state"] == "running" and status["pid"] != first,
            "another agent",
        )
        assert channel.ask("guest-get-host-name") == {"host-name": os.uname().nodename}


def test_a_device_that_goes_away_is_waited_for_and_the_agent_is_there_with_it_again(
    guest: tuple[Host, Channel],
) -> None:
    made, channel = guest
    channel.appear()
    with made.started() as daemon:
        daemon.await_state("qemu-guest-agent", "running")
        assert channel.ask("guest-ping") == {}
        channel.path.unlink()
        killed(daemon)
        daemon.await_status(
            "qemu-guest-agent",
            lambda status: status["state"] == "stopped" and status["reason"]["kind"] == "waiting",
            "that it waits again",
        )
        channel.appear()
        daemon.await_state("qemu-guest-agent", "running")
        assert channel.ask("guest-ping") == {}
