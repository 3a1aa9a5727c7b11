"""How virtsupd ends: by a shutdown of all services, or by a quit that leaves them running.

With STOPPING=1 an init system begins to count down to a SIGKILL (TimeoutStopSec= of systemd), which is
meant for virtsupd alone. So it is said when there is nothing left to wait for; a shutdown takes as
long as guests take. If the countdown runs already, for the init system sent a TERM itself, time is
asked for again and again for as long as the shutdown goes on.
"""

import os
from typing import Literal

import anyio
import structlog

from virtsupd.config.settings import OnTerm
from virtsupd.process.clock import Clock
from virtsupd.process.own_notify import OwnNotify
from virtsupd.process.signals import is_in_foreground
from virtsupd.supervisor.supervisor import Supervisor

log = structlog.get_logger()

End = Literal["shutdown", "quit"]

_ASK_SECONDS = 1.0
"""How often time is asked for: the least that a TimeoutStopSec= has to allow."""
_PATIENCE_SECONDS = 30
"""For how long at a time: what a virtsupd that hangs has left."""


class Ending:
    """The one end that virtsupd comes to; the first who asks for one decides which."""

    def __init__(self, supervisor: Supervisor, own_notify: OwnNotify, clock: Clock) -> None:
        self.how: End | None = None
        """None until somebody asks."""
        self._supervisor = supervisor
        self._own_notify = own_notify
        self._clock = clock
        self._has_begun = anyio.Event()

    def begin(self, how: End, *, who: str) -> None:
        """Begin to end virtsupd; a shutdown that has begun is not turned into a quit."""
        if self.how is not None:
            return
        self.how = how
        log.info("virtsupd ends", how=how, who=who)
        if how == "shutdown":
            self._ask_for_time()
            self._supervisor.shut_down(who)
        else:
            self._own_notify.say("STOPPING=1")
        self._has_begun.set()

    def go_on(self) -> None:
        """Go on with a shutdown that an earlier virtsupd began, if there is one."""
        if self._supervisor.engine.is_shutting_down:
            self.how = "shutdown"
            log.warning("an earlier virtsupd was shutting down: this one goes on with it")
            self._ask_for_time()
            self._has_begun.set()

    async def complete(self) -> None:
        """Wait for an end to begin and, if it is a shutdown, for the last service to stop.

        A shutdown that a defect made impossible has become a quit when this returns.
        """
        await self._has_begun.wait()
        if self.how == "shutdown":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_asking_for_time)
                await self._supervisor.finished.wait()
                tasks.cancel_scope.cancel()
            self._own_notify.say("STOPPING=1")
            if self._supervisor.has_given_up:
                self.how = "quit"

    async def _keep_asking_for_time(self) -> None:
        while True:
            await self._clock.sleep(_ASK_SECONDS)
            self._ask_for_time()

    def _ask_for_time(self) -> None:
        microseconds = _PATIENCE_SECONDS * 1_000_000
        self._own_notify.say("STATUS=shutting down", f"EXTEND_TIMEOUT_USEC={microseconds}")


def meant_by_term(on_term: OnTerm) -> End:
    """Return what SIGTERM asks for; init systems send it on every restart and package upgrade."""
    if on_term != "auto":
        return on_term
    return "shutdown" if os.getpid() == 1 or is_in_foreground() else "quit"


def meant_by_interrupt(on_term: OnTerm) -> End:
    """Return what SIGINT asks for: a shutdown from the terminal, else the same as SIGTERM."""
    return "shutdown" if is_in_foreground() else meant_by_term(on_term)
