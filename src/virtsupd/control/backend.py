"""What the control socket needs of the daemon: the one seam between languages and engine."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import field
from typing import Literal, Protocol

from anyio.abc import ObjectReceiveStream

from virtsupd.control.plan import Plan
from virtsupd.core.chain import Explanation
from virtsupd.core.commands import Touch
from virtsupd.core.effects import Answer, Report
from virtsupd.core.events import Verb
from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name
from virtsupd.core.shutdown_view import ShutdownView
from virtsupd.core.snapshot import Change, ServiceSnapshot

__all__ = ["Backend", "Change", "DaemonFacts", "JobOrder", "Plan", "Touch"]


@frozen
class DaemonFacts:
    """What virtsupd knows of itself."""

    pid: int
    version: str
    since: float
    """Wall clock."""
    config: str
    socket: str
    phase: Literal["running", "shutting-down", "re-executing"]
    warnings: tuple[str, ...] = ()
    """What is degraded for every service: no cgroups, no extension, no log keeper."""
    reexecs: int = 0
    """How often it has become another program since `since`."""
    shutdown: ShutdownView | None = None
    """What a shutdown has come to; None: there is none."""


@frozen
class JobOrder:
    """A command to be run once, at a time of the clock."""

    at: str
    """"HH:MM" or "HH:MM:SS", when the host's clock shows that next."""
    command: tuple[str, ...]
    name: str = ""
    """Of the service that it becomes; "" leaves that to virtsupd."""
    table: Mapping[str, object] = field(default_factory=dict)
    """More keys of `[service.NAME]`."""


class Backend(Protocol):
    """The daemon as the control socket sees it. Called from the event loop's one thread.

    Nothing here blocks: `snapshots` and the like read what the engine holds, the coroutines wait
    for an answer and may be cancelled at any time (the command itself then stays in force).
    """

    def facts(self) -> DaemonFacts:
        """Return what `status root` shows."""
        ...

    def resolve(self, name: str) -> Name:
        """Return the canonical name for a name or provision.

        Raises:
            UnknownServiceError: nothing provides it.
        """
        ...

    def snapshot(self, name: Name) -> ServiceSnapshot:
        """Return one service by canonical name."""
        ...

    def snapshots(self) -> Sequence[ServiceSnapshot]:
        """Return all services, sorted by canonical name."""
        ...

    def why(self, name: Name) -> Explanation:
        """Return why a service is as it is, down to the causes."""
        ...

    def would_touch(self, verb: Verb, names: Sequence[Name]) -> Touch:
        """Return what `ask` with canonical names would stop and start now; nothing is done."""
        ...

    async def refusal(
        self, verb: Verb, names: Sequence[Name], *, guests: bool = False, force: bool = False
    ) -> Sequence[Report]:
        """Return how `ask` would refuse this command now; () if it would not; nothing is done."""
        ...

    async def harms(self, names: Sequence[Name]) -> Mapping[Name, str]:
        """Return what guests that run on would lose by the end of services, by canonical name.

        A command that ends one of these is refused unless it is forced.
        """
        ...

    async def ask(  # noqa: PLR0913  what a command may say, each by its name
        self,
        verb: Verb,
        names: Sequence[Name],
        *,
        who: str,
        guests: bool = False,
        force: bool = False,
        until: float | None = None,
        once: tuple[str, ...] = (),
    ) -> Answer:
        """Carry out a command and wait for its end; `until`: how long to hold (wall clock).

        `force`: also if guests that run on would lose something by it. `once`: what the next process
        of the service that is started gets behind its command; cancelling before that drops it.
        """
        ...

    def changes(self) -> AbstractAsyncContextManager[ObjectReceiveStream[Change]]:
        """Subscribe to changes; a subscriber who is 1,000 behind loses the subscription's end."""
        ...

    async def reload_configuration(self) -> Plan:
        """Read the configuration again and apply the difference.

        Raises:
            ConfigError: it is refused whole; nothing changed.
        """
        ...

    async def plan_reload(self, names: Sequence[str]) -> Plan:
        """Return what `reload_configuration` would do now; nothing is changed or written.

        `names` limit the steps to services that have, or would have, one of them.

        Raises:
            ConfigError: it would be refused.
            UnknownServiceError: nobody has, or would have, one of the names.
        """
        ...

    def schedule(self, order: JobOrder, *, who: str) -> Name:
        """Have a command run once, at its time; return the name of the service it is until then.

        Raises:
            ActionError: it cannot be; nothing has changed.
        """
        ...

    async def act(self, name: Name, action: str, arguments: Sequence[str]) -> Sequence[str]:
        """Carry out a service's own action and return the lines it printed.

        Raises:
            UnknownActionError: the service has no such action.
            ActionError: it failed; the message holds the end of its output.
            ArgumentsError: it does not take these arguments; the message says what it takes.
        """
        ...

    def log_files(self, name: Name) -> Sequence[str]:
        """Return the log file in use and the rotated ones, newest first."""
        ...

    async def settle_log(self, name: Name) -> None:
        """Return once what a service has written so far is in its log file, or after a second."""
        ...

    def pids(self, name: Name) -> Sequence[int]:
        """Return the processes of a service: all in its cgroup, or its leader's family without one.

        Those that outlived its stop are among them.
        """
        ...

    def others(self, name: Name) -> int:
        """Return how many processes in a service's cgroup its stop leaves alone: guests or jobs."""
        ...

    def definition(self, name: Name) -> str:
        """Return the definition in force as TOML with comments naming each source; no secrets."""
        ...

    async def reexec(self, *, who: str) -> str:
        """Begin to become the program that the daemon was started as, as that is now.

        Returns its version once it is known to fit; what is asked from then on is answered by it.

        Raises:
            ReexecError: it does not fit, or cannot be done now; nothing has changed.
        """
        ...

    def end(self, how: Literal["shutdown", "quit"], *, who: str) -> None:
        """Begin to end the daemon: with every service, or leaving all of them running."""
        ...
