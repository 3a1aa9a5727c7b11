"""Commands that are no services: run beside one, as it is, or for one, as virtsupd is."""

import os
from dataclasses import replace

from virtsupd.core.spec import Reload, ServiceSpec
from virtsupd.errors import SpawnError
from virtsupd.process.command import CommandOutcome, run_command
from virtsupd.process.plan import SpawnPlan
from virtsupd.process.reaper import Reaper
from virtsupd.supervisor.launch import Launcher
from virtsupd.supervisor.runs import Run


class Commands:
    """Runs commands to their end. All of them may be cancelled; then the command is killed."""

    def __init__(self, launcher: Launcher, reaper: Reaper) -> None:
        self._launcher = launcher
        self._reaper = reaper

    async def run_beside(
        self, run: Run | None, command: tuple[str, ...], timeout_seconds: float
    ) -> CommandOutcome:
        """Run a command as a service does, in its cgroup; its output is in the outcome.

        Raises:
            SpawnError: it could not be started, or there is no such run.
        """
        if run is None:
            raise SpawnError("cgroup", "the service is not running", is_permanent=False)
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
        return await self._run(self._launcher.plan_action(spec, command), timeout_seconds)

    async def reload(self, run: Run, reload: Reload) -> str | None:
        """Run the reload command of a service; return why it failed, None if it did not."""
        try:
            outcome = await self.run_beside(run, reload.command, reload.timeout_seconds)
        except SpawnError as error:
            return str(error)
        if outcome.timed_out:
            return f"no end within {reload.timeout_seconds:g} s"
        if outcome.status.code != 0:
            return f"{outcome.status}: {last_line(outcome.output)}"
        return None

    async def _run(self, plan: SpawnPlan, timeout_seconds: float) -> CommandOutcome:
        return await run_command(
            plan,
            spawner=self._launcher.spawner,
            reaper=self._reaper,
            timeout_seconds=timeout_seconds,
            clock=self._launcher.clock,
        )


def last_line(output: bytes) -> str:
    """Return the last line of a command's output that says something."""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
