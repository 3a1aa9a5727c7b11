"""A kind of service that guests run through, for tests: `[pretend]`. The guests are real processes.

A guest is a process with its pid in DIRECTORY/NAME.pid, started by nobody whom virtsupd knows. It is
found and ended through the service alone, which has to be up: it holds DIRECTORY/up.
"""

import os
import signal
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from virtsupd.config.kinds import Built, Kind, KindContext, KindParts, RunCommand
from virtsupd.config.model import KindTable
from virtsupd.core.domain import DomainSpec
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd, RunningGuest
from virtsupd.errors import GuestError


class PretendTable(KindTable):
    """`[pretend]`."""

    service: str
    directory: str
    hangs: bool = False
    """It never says which guests run."""
    save: tuple[str, ...] = ()
    """Guests that are saved instead of asked to power off, in their own time."""


@dataclass(frozen=True, slots=True)
class PretendHost:
    """The guests of one directory."""

    table: PretendTable

    async def running(
        self, run: RunCommand, services: Collection[DomainSpec]
    ) -> Sequence[RunningGuest]:
        """List the pid files of living processes."""
        if self.table.hangs:
            await anyio.sleep_forever()
        await self._connect(run)
        return [self._guest(name) for name in self._names() if self._pid(name) is not None]

    async def end(self, guest: str, end: GuestEnd, run: RunCommand) -> None:
        """Note what is asked, send the signal, wait for the end."""
        await self._connect(run)
        pid = self._pid(guest)
        if pid is None:
            return
        pidfd = os.pidfd_open(pid)
        with (Path(self.table.directory) / "asked").open("a") as asked:
            asked.write(f"{end} {guest}\n")
        number = signal.SIGKILL if end is GuestEnd.KILL else signal.SIGTERM
        try:
            signal.pidfd_send_signal(pidfd, number)
            await anyio.wait_readable(pidfd)
        finally:
            os.close(pidfd)

    async def _connect(self, run: RunCommand) -> None:
        if not (await run(["/bin/ls", self.table.directory], 5.0)).count("up\n"):
            raise GuestError("no such socket")

    def _names(self) -> list[str]:
        return [path.stem for path in sorted(Path(self.table.directory).glob("*.pid"))]

    def _guest(self, name: str) -> RunningGuest:
        return (
            RunningGuest(name, GuestEnd.SAVE, 60.0)
            if name in self.table.save
            else RunningGuest(name)
        )

    def _pid(self, name: str) -> int | None:
        """Return the pid of a guest that is no zombie."""
        with suppress(OSError):
            pid = int((Path(self.table.directory) / f"{name}.pid").read_text())
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                return pid
        return None


def build(table: PretendTable, context: KindContext) -> Built:
    """Return that guests run through the service that the table names."""
    return Built({}, guest_hosts={Name(table.service): PretendHost(table)})


PRETEND = Kind((), lambda: KindParts(PretendTable, build))
