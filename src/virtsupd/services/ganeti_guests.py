"""The KVM instances of a Ganeti node, and how each is ended when the host goes down.

They are found by the files that Ganeti's hypervisor keeps (lib/hypervisor/hv_kvm of Ganeti 3.0.2): a pid
file of each, and QEMU's monitor socket. An instance has ended when its QEMU has.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio

from virtsupd.config.kinds import RunCommand
from virtsupd.core.domain import DomainSpec
from virtsupd.core.shutdown_policy import GuestEnd, RunningGuest
from virtsupd.errors import GuestError
from virtsupd.machine.monitor import Monitor, MonitorError
from virtsupd.process.lives import Life, life_of

KVM: Final = Path("/var/run/ganeti/kvm-hypervisor")
_LAST_SECONDS: Final = 0.5
_FIRST_ASK_SECONDS: Final = 10.0
"""Then twice as long each time: one in its firmware or boot loader does not hear the first request."""


@dataclass(frozen=True, slots=True)
class GanetiGuests:
    """The instances that run below one directory of Ganeti's."""

    end_for_all: GuestEnd | None = None
    """How each is ended; None: as `[host]` says."""
    directory: Path = KVM

    async def running(
        self, _: RunCommand, services: Collection[DomainSpec]
    ) -> Sequence[RunningGuest]:
        """Return the instances whose QEMU runs; none of the services is one of them."""
        del services
        return [RunningGuest(name, self.end_for_all) for name, _ in self._found()]

    async def end(self, guest: str, end: GuestEnd, _: RunCommand) -> None:
        """End an instance and return once its QEMU has ended.

        When cancelled, what was asked stands: a guest goes on powering off.

        Raises:
            GuestError: its monitor does not answer, or it cannot be ended so.
        """
        qemu = next((life for name, life in self._found() if name == guest), None)
        if qemu is None:
            return
        if end is GuestEnd.SAVE:
            raise GuestError("Ganeti cannot save an instance")
        try:
            ended = os.pidfd_open(qemu.pid)
        except ProcessLookupError:
            return
        try:
            if life_of(qemu.pid) == qemu:
                await self._ask(
                    guest, "quit" if end is GuestEnd.KILL else "system_powerdown", ended
                )
        finally:
            os.close(ended)

    async def _ask(self, guest: str, command: str, ended: int) -> None:
        """Ask a QEMU to end until it has."""
        pause = _FIRST_ASK_SECONDS
        while True:
            try:
                await self._tell(guest, command)
            except MonitorError as error:
                with anyio.move_on_after(_LAST_SECONDS):  # it may just be ending
                    await anyio.wait_readable(ended)
                    return
                raise GuestError(str(error)) from error
            with anyio.move_on_after(pause):
                await anyio.wait_readable(ended)
                return
            pause *= 2

    async def _tell(self, guest: str, command: str) -> None:
        monitor = await Monitor.connect(str(self.directory / "ctrl" / f"{guest}.qmp"))
        try:
            await monitor.execute(command)
        finally:
            await monitor.close()

    def _found(self) -> Iterator[tuple[str, Life]]:
        """Yield the instances that run, by name."""
        try:
            names = sorted(os.listdir(self.directory / "pid"))  # noqa: PTH208 - names are what is needed
        except OSError:
            return
        for name in names:
            life = self._qemu(name)
            if life is not None:
                yield name, life

    def _qemu(self, name: str) -> Life | None:
        """Return the process of an instance; its pid file may be of an earlier run, and the pid another's."""
        try:
            pid = int((self.directory / "pid" / name).read_text(encoding="ascii"))
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except (OSError, ValueError):
            return None
        named = words[words.index("-name") + 1 :][:1] if "-name" in words else []
        return life_of(pid) if [word.partition(",")[0] for word in named] == [name] else None
