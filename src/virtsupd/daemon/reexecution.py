"""How virtsupd becomes the program that it was started as, as that is now: an upgrade in place.

First the new program is asked whether it fits; until then nothing changes. Then commands end, clients
are told, and all that a successor needs is written; what lies open is handed over with it. The new
program takes the services over as after a crash, except that they still are its children and nothing
that they, clients or signals said meanwhile is lost.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import anyio.lowlevel
import structlog
from anyio.abc import TaskGroup, TaskStatus

from virtsupd.control.server import ControlServer
from virtsupd.core.frozen import frozen
from virtsupd.daemon.ending import Ending
from virtsupd.errors import ReexecError, ReexecutingError, VirtsupdError
from virtsupd.process.own_notify import OwnNotify
from virtsupd.process.reexec import HANDOVER_VERSION, execute, signals_held
from virtsupd.process.successor import command_line
from virtsupd.supervisor import memory, records
from virtsupd.supervisor.commands import BusyError, Commands
from virtsupd.supervisor.supervisor import Supervisor

log = structlog.get_logger()

WRITTEN = {
    "handover": HANDOVER_VERSION,
    "records": records.VERSION,
    "state": memory.VERSION,
}
"""The versions of what is left to a successor."""
READS = {kind: (version,) for kind, version in WRITTEN.items()}
"""Those that this program can go on with."""

_COMMANDS_SECONDS = 5.0
_FRESH_SECONDS = 0.01
"""As long as what the new program said of itself and this host is taken for true."""
_ANSWERS_SECONDS = 1.0
_TURNS = 5
"""Of the loop, from what a probe reads to the event that it posts."""


@frozen
class Estate:
    """What is left to the new program."""

    descriptors: Mapping[str, int]
    facts: Mapping[str, object]


@dataclass(slots=True, kw_only=True)
class Reexecution:
    """At most one upgrade at a time; one that fails leaves everything as it was."""

    supervisor: Supervisor
    commands: Commands
    server: ControlServer
    ending: Ending
    own_notify: OwnNotify
    tasks: TaskGroup
    check: Callable[[Sequence[str]], Awaitable[str]]
    """Raises ReexecError if a program does not fit; returns its version."""
    estate: Callable[[], Estate]
    failure: str | None = None
    """Why the last one that was begun came to nothing."""
    _is_under_way: bool = False

    async def begin(self, who: str) -> str:
        """Check the new program and begin to become it; return its version.

        Raises:
            ReexecError: it does not fit, or it cannot be done now. Nothing has changed.
        """
        self._refuse_in_vain()
        if self._is_under_way:
            raise ReexecError("virtsupd is about to re-execute itself already")
        self._is_under_way = True
        try:
            command = command_line()
            version = await self.check(command)
            self._refuse_in_vain()
            await self.tasks.start(self._carry_out, command, anyio.current_time())
        except BaseException as error:
            self._is_under_way = False
            if isinstance(error, BusyError):
                raise ReexecError(str(error)) from error
            raise
        log.info("virtsupd re-executes itself", program=command[0], version=version, who=who)
        return version

    async def begin_unasked(self, who: str) -> None:
        """As `begin`, where nobody waits for an answer: what refuses goes to the log."""
        try:
            await self.begin(who)
        except ReexecError as error:
            log.error("virtsupd does not re-execute itself", who=who, reason=str(error))  # noqa: TRY400  (no defect: no traceback)

    async def _carry_out(
        self, command: Sequence[str], checked: float, *, task_status: TaskStatus[None]
    ) -> None:
        """Become the program, once no command is at work; `begin` waits for that alone.

        `checked` is when it was found to fit, as time of the loop.
        """
        async with self.commands.held(_COMMANDS_SECONDS):
            if anyio.current_time() - checked > _FRESH_SECONDS:
                await self.check(command)  # commands were waited for, and much may have changed
                self._refuse_in_vain()
            task_status.started()
            try:
                await self._become(command)
            except Exception as error:
                self.failure = f"virtsupd could not re-execute itself: {error}"
                is_defect = not isinstance(error, VirtsupdError)
                log.error("virtsupd goes on as it was", reason=self.failure, exc_info=is_defect)  # noqa: TRY400  (if a defect: with traceback)
            finally:
                self._is_under_way = False

    async def _become(self, command: Sequence[str]) -> NoReturn:
        self.own_notify.say_reloading("re-executing")
        try:
            self.supervisor.interrupt(ReexecutingError())
            await self.server.pause(_ANSWERS_SECONDS)
            async with signals_held() as mask:
                await self._settle()
                self._refuse_in_vain()
                estate = self.estate()
                execute(command, estate.descriptors, estate.facts, mask)
        finally:
            if self.ending.how is None:
                self.supervisor.resume()
                self.server.resume()
                self.own_notify.say("READY=1", "STATUS=supervising")

    async def _settle(self) -> None:
        """Let what is on its way inside this program be taken in, and written down."""
        turns = 0
        while turns < _TURNS or not self.supervisor.is_idle:
            await anyio.lowlevel.cancel_shielded_checkpoint()
            turns += 1

    def _refuse_in_vain(self) -> None:
        if self.ending.how is not None:
            raise ReexecError(f"virtsupd is about to end ({self.ending.how})")
        if self.supervisor.trouble is not None:
            raise ReexecError(f"a successor would not know all: {self.supervisor.trouble}")


def same_directories(answer: Mapping[str, object], own: Mapping[str, str]) -> None:
    """Check that the new program would use our directories, by their keys of `[host]`.

    Raises:
        ReexecError: it would not: it would find nothing of what we leave.
    """
    for key, place in own.items():
        if os.path.realpath(str(answer.get(key))) != os.path.realpath(place):
            raise ReexecError(
                f"host.{key}: {answer.get(key)} instead of {place} takes a restart of virtsupd"
            )
