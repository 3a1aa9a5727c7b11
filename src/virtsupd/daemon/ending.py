"""How virtsupd ends: by a shutdown of all services, or by a quit that leaves them running."""

import os
from typing import Literal

import anyio
import structlog

from virtsupd.config.settings import OnTerm
from virtsupd.process.own_notify import OwnNotify
from virtsupd.process.signals import is_in_foreground
from virtsupd.supervisor.supervisor import Supervisor

log = structlog.get_logger()

End = Literal["shutdown", "quit"]


class Ending:
    """The one end that virtsupd comes to; the first who asks for one decides which."""

    def __init__(self, supervisor: Supervisor, own_notify: OwnNotify) -> None:
        self.how: End | None = None
        """None until somebody asks."""
        self._supervisor = supervisor
        self._own_notify = own_notify
        self._has_begun = anyio.Event()

    def begin(self, how: End, *, who: str) -> None:
        """Begin to end virtsupd; a shutdown that has begun is not turned into a quit."""
        if self.how is not None:
            return
        self.how = how
        log.info("virtsupd ends", how=how, who=who)
        self._own_notify.say("STOPPING=1")
        if how == "shutdown":
            self._supervisor.shut_down(who)
        self._has_begun.set()

    def go_on(self) -> None:
        """Go on with a shutdown that an earlier virtsupd began, if there is one."""
        if self._supervisor.engine.is_shutting_down:
            self.how = "shutdown"
            log.warning("an earlier virtsupd was shutting down: this one goes on with it")
            self._own_notify.say("STOPPING=1")
            self._has_begun.set()

    async def complete(self) -> None:
        """Wait for an end to begin and, if it is a shutdown, for the last service to stop.

        A shutdown that a defect made impossible has become a quit when this returns.
        """
        await self._has_begun.wait()
        if self.how == "shutdown":
            await self._supervisor.finished.wait()
            if self._supervisor.has_given_up:
                self.how = "quit"


def meant_by_term(on_term: OnTerm) -> End:
    """Return what SIGTERM asks for; init systems send it on every restart and package upgrade."""
    if on_term != "auto":
        return on_term
    return "shutdown" if os.getpid() == 1 or is_in_foreground() else "quit"


def meant_by_interrupt(on_term: OnTerm) -> End:
    """Return what SIGINT asks for: a shutdown from the terminal, else the same as SIGTERM."""
    return "shutdown" if is_in_foreground() else meant_by_term(on_term)
