"""The `Spawner` made in C: clone3 into the service's cgroup, and every step reported by name."""

import os

from virtsupd.core.spec import Limit
from virtsupd.process.capabilities import capability_mask
from virtsupd.process.failures import spawn_error, warning
from virtsupd.process.limits import RESOURCE_BY_NAME, limit_values
from virtsupd.process.plan import Child, SpawnPlan
from virtsupd.process.status_keeper import keeper_command

try:
    from virtsupd.process import _spawn
except ImportError:  # built without a C compiler
    _HAS_EXTENSION = False
else:
    _HAS_EXTENSION = True


class ExtensionSpawner:
    """Makes processes through the C extension; blocks for about a millisecond each."""

    @staticmethod
    def why_not() -> str | None:
        """Say why it cannot be used here, or None."""
        if not _HAS_EXTENSION:
            return "the C extension was not built"
        if not _spawn.is_supported():
            return "the kernel lacks clone3 or close_range (Linux 5.11), or a filter forbids them"
        return None

    def spawn(self, plan: SpawnPlan) -> Child:
        """Make the process; see `Spawner.spawn`."""
        credentials = plan.credentials
        pid, keeper, stage, error, denials = _spawn.spawn(
            executable=os.fsencode(plan.executable),
            argv=tuple(os.fsencode(argument) for argument in plan.argv),
            environment=_environment_block(plan),
            has_pid_variable=plan.pid_variable is not None,
            directory=os.fsencode(plan.directory),
            umask=plan.umask,
            credentials=(credentials.uid, credentials.gid, credentials.groups)
            if credentials
            else None,
            limits=tuple(_limit_triple(limit) for limit in plan.limits),
            capabilities=None if plan.capabilities is None else capability_mask(plan.capabilities),
            oom_score=plan.oom_score_adjust,
            nice=plan.nice,
            no_new_privileges=plan.no_new_privileges,
            descriptors=plan.descriptors,
            cgroup=-1 if plan.cgroup_fd is None else plan.cgroup_fd,
            keeper=_keeper_block(plan),
            status_file=-1 if plan.status_fd is None else plan.status_fd,
        )
        if stage:
            raise spawn_error(plan, stage, error)
        warnings = tuple(warning(plan, *denied) for denied in denials)
        return Child(pid, warnings, keeper if keeper > 0 else None)


def _environment_block(plan: SpawnPlan) -> tuple[bytes, ...]:
    """Return NAME=value for each variable; the one for the pid comes last and without a value."""
    block = [
        os.fsencode(f"{name}={value}")
        for name, value in plan.environment.items()
        if name != plan.pid_variable
    ]
    if plan.pid_variable is not None:
        block.append(os.fsencode(f"{plan.pid_variable}="))
    return tuple(block)


def _keeper_block(plan: SpawnPlan) -> tuple[bytes, ...]:
    if plan.status_fd is None:
        return ()
    return tuple(os.fsencode(word) for word in keeper_command(plan.executable))


def _limit_triple(limit: Limit) -> tuple[int, int, int]:
    return (RESOURCE_BY_NAME[limit.name], *limit_values(limit))
