"""Commands that are no services: run beside one, as it is, or for one, as virtsupd is."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace

import anyio

from virtsupd.core.names import Name
from virtsupd.core.spec import CleanUp, Prepare, Reload, ServiceSpec
from virtsupd.errors import SpawnError, VirtsupdError
from virtsupd.process.command import TIED, CommandOutcome, run_command
from virtsupd.process.plan import SpawnPlan
from virtsupd.process.reaper import Reaper
from virtsupd.supervisor.launch import Launcher
from virtsupd.supervisor.runs import Run

_OUTPUT_BYTES = 64 * 1024
_ACTION_OUTPUT_BYTES = 4 * 1024 * 1024
"""A list of all guests of a large host, for whoever asked: he shall not miss its beginning."""


class BusyError(VirtsupdError):
    """Commands are at work that cannot be cut short; the message names them."""

    code = "busy"


@dataclass(eq=False, frozen=True, slots=True)
class _Work:
    """A command at work."""

    what: str
    scope: anyio.CancelScope | None = None
    """Cuts it short, where it can be begun anew."""


class Commands:
    """Runs commands to their end. All of them may be cancelled; then the command is killed."""

    def __init__(self, launcher: Launcher, reaper: Reaper) -> None:
        self._launcher = launcher
        self._reaper = reaper
        self._works: set[_Work] = set()
        self._has_ended = anyio.Event()
        self._may_begin = anyio.Event()
        self._may_begin.set()

    @asynccontextmanager
    async def held(self, seconds: float) -> AsyncIterator[None]:
        """Begin no command meanwhile; those at work have ended by then.

        Probes are cut short, and begin anew afterwards; all else is waited for.

        Raises:
            BusyError: that took more than `seconds`; all goes on.
        """
        self._may_begin = anyio.Event()
        try:
            with anyio.move_on_after(seconds):
                await self._idle()
            if self._works:
                still = " and ".join(sorted(work.what for work in self._works))
                raise BusyError(f"{still}: still at work after {seconds:g} s")
            yield
        finally:
            self._may_begin.set()

    async def _idle(self) -> None:
        for work in self._works:
            if work.scope is not None:
                work.scope.cancel()
        while self._works:
            self._has_ended = anyio.Event()
            await self._has_ended.wait()

    async def _permitted(self) -> None:
        """Return when a command may begin, to be begun at once: not a turn of the loop later."""
        while not self._may_begin.is_set():
            await self._may_begin.wait()

    @contextmanager
    def _at_work(self, what: str, scope: anyio.CancelScope | None = None) -> Iterator[None]:
        work = _Work(what, scope)
        self._works.add(work)
        try:
            yield
        finally:
            self._works.remove(work)
            self._has_ended.set()

    async def probe(
        self, run: Run, command: tuple[str, ...], timeout_seconds: float
    ) -> CommandOutcome:
        """Run a command that only asks, as `run_beside`; it may be run more than once."""
        while True:
            await self._permitted()
            with anyio.CancelScope() as scope, self._at_work(f"probe of {run.name}", scope):
                return await self._run_beside(run, command, timeout_seconds)

    async def run_beside(
        self, run: Run | None, command: tuple[str, ...], timeout_seconds: float
    ) -> CommandOutcome:
        """Run a command as a service does, in its cgroup; its output is in the outcome.

        Raises:
            SpawnError: it could not be started, or there is no such run.
        """
        if run is None:
            raise SpawnError("cgroup", "the service is not running", is_permanent=False)
        await self._permitted()
        with self._at_work(f"command of {run.name}"):
            return await self._run_beside(run, command, timeout_seconds)

    async def _run_beside(
        self, run: Run, command: tuple[str, ...], timeout_seconds: float
    ) -> CommandOutcome:
        plan = self._launcher.plan_beside(run, command)
        descriptor = run.cgroup.open() if run.cgroup is not None else None
        try:
            return await self._run(replace(plan, cgroup_fd=descriptor), timeout_seconds)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    async def run_action(
        self, spec: ServiceSpec, command: tuple[str, ...], timeout_seconds: float
    ) -> CommandOutcome:
        """Run an action of a service, running or not, as the daemon's user.

        Raises:
            SpawnError: it could not be started.
        """
        await self._permitted()
        with self._at_work(f"action of {spec.name}"):
            plan = self._launcher.plan_action(spec, command)
            return await self._run(plan, timeout_seconds, _ACTION_OUTPUT_BYTES)

    async def reload(self, run: Run, reload: Reload) -> str | None:
        """Run the reload command of a service; return why it failed, None if it did not."""
        try:
            outcome = await self.run_beside(run, reload.command, reload.timeout_seconds)
        except SpawnError as error:
            return str(error)
        return _failure(outcome, reload.timeout_seconds)

    async def prepare(self, name: Name, prepare: Prepare) -> str | None:
        """Run the command that prepares a start, as virtsupd is; return as `reload`."""
        what = f"preparation of {name}"
        return await self._run_tied(what, prepare.command, prepare.timeout_seconds)

    async def clean_up(self, name: Name, clean_up: CleanUp) -> str | None:
        """Run the clean-up command of a service that is down, as virtsupd is; return as `reload`."""
        return await self._run_tied(
            f"clean-up of {name}", clean_up.command, clean_up.timeout_seconds
        )

    async def _run_tied(
        self, what: str, command: tuple[str, ...], timeout_seconds: float
    ) -> str | None:
        """Run a command that ends with virtsupd; return why it failed, None if it did not."""
        await self._permitted()
        try:
            with self._at_work(what):
                tie = (sys.executable, "-I", "-S", TIED, str(os.getpid()))
                plan = self._launcher.plan_own((*tie, *command))
                outcome = await self._run(plan, timeout_seconds)
        except SpawnError as error:
            return str(error)
        return _failure(outcome, timeout_seconds)

    async def _run(
        self, plan: SpawnPlan, timeout_seconds: float, output_limit: int = _OUTPUT_BYTES
    ) -> CommandOutcome:
        return await run_command(
            plan,
            spawner=self._launcher.spawner,
            reaper=self._reaper,
            timeout_seconds=timeout_seconds,
            clock=self._launcher.clock,
            output_limit=output_limit,
        )


def _failure(outcome: CommandOutcome, timeout_seconds: float) -> str | None:
    if outcome.timed_out:
        return f"no end within {timeout_seconds:g} s"
    if outcome.status.code != 0:
        return f"{outcome.status}: {last_line(outcome.output)}"
    return None


def last_line(output: bytes) -> str:
    """Return the last line of a command's output that says something."""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
