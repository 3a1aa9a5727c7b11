"""Making processes: the plan of one, and two ways to carry it out behind one interface."""

from virtsupd.process.extension import ExtensionSpawner
from virtsupd.process.plan import Child, Spawner, SpawnPlan, plan_process
from virtsupd.process.shell import ShellSpawner

__all__ = [
    "Child",
    "ExtensionSpawner",
    "ShellSpawner",
    "SpawnPlan",
    "Spawner",
    "best_spawner",
    "plan_process",
]


def best_spawner() -> Spawner:
    """Return the extension's spawner where it was built and the kernel can do it, else the shell's."""
    if ExtensionSpawner.why_not() is None:
        return ExtensionSpawner()
    return ShellSpawner()
