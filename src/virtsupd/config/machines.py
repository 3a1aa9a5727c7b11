"""What goes with `machine`, which has virtsupd attend to the guest of a QEMU, and what does not."""

import sys
from collections.abc import Iterable, Iterator
from typing import Final

from virtsupd.config.model import MachineTable, ServiceTable, StopTable
from virtsupd.config.probes import MachineTable as MachineProbeTable
from virtsupd.config.problems import Fault
from virtsupd.core.machine import MachineSpec, MachineStopHow, SecretsSpec, StopStep
from virtsupd.core.names import Name
from virtsupd.core.spec import ActionSpec, Respawn, ServiceSpec, Stop, StopMode

DEFAULT_RESPAWN: Final = Respawn(delay_seconds=1.0, window_seconds=300.0, only_failures=True)
"""How a machine is started again unless its file says it; a guest that boots before it crashes would
never reach the limit in a shorter window."""
_NEEDS_MACHINE: Final = "goes with the key machine: the service's process is QEMU"
_NOT_MEANT: Final = {
    "one_shot": "a machine is not done when it has ended",
    "timer": "a machine is no job that ends",
    "transient": "a machine stays, to be started again",
}
_NEEDS: Final = {"agent": "agent", "ssh": "ssh_port", "secrets": "secrets"}
"""By rung, or step of a stop: the key of machine without which nothing can come of it."""


def machine_faults(table: ServiceTable) -> Iterator[Fault]:
    """Yield what a machine cannot have, or what only a machine can."""
    ready = table.ready.probe if table.ready is not None else None
    rungs = ready if isinstance(ready, MachineProbeTable) else None
    stop = table.stop if table.stop is not None and table.stop.steps is not None else None
    if table.machine is None:
        if rungs is not None:
            yield ("ready",), f"machine {_NEEDS_MACHINE}"
        if stop is not None:
            yield ("stop", "steps"), _NEEDS_MACHINE
        return
    for key, why in _NOT_MEANT.items():
        if getattr(table, key):
            yield (key,), f"does not go with machine: {why}"
    if rungs is not None:
        yield from _rung_faults(table.machine, rungs)
    if stop is not None:
        yield from _step_faults(table.machine, stop)


def _rung_faults(machine: MachineTable, ready: MachineProbeTable) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, item in enumerate(ready.rungs):
        key = _NEEDS.get(item.rung)
        if item.rung in seen:
            yield ("ready", "rungs", index), f"{item.rung} stands there twice"
        if key is not None and getattr(machine, key) is None:
            yield ("ready", "rungs", index), f"{item.rung} needs machine.{key}"
        seen.add(item.rung)


def _step_faults(machine: MachineTable, stop: StopTable) -> Iterator[Fault]:
    if "delay" in stop.model_fields_set:
        yield ("stop", "delay"), "is the sum of the times of steps, and not said beside them"
    for index, step in enumerate(stop.steps or ()):
        if step.how == "agent" and machine.agent is None:
            yield ("stop", "steps", index), "agent needs machine.agent"


def machine_spec(table: MachineTable | None) -> MachineSpec | None:
    """Return what virtsupd has to know of a machine."""
    if table is None:
        return None
    secrets = table.secrets
    return MachineSpec(
        directory=table.directory,
        qmp=table.qmp,
        agent=table.agent,
        secrets=SecretsSpec(secrets.port, secrets.root) if secrets is not None else None,
        ssh_port=table.ssh_port,
        ports=table.ports,
        kvm=table.kvm,
        access_group=table.access_group,
    )


def machine_actions(name: Name, table: MachineTable | None) -> Iterator[ActionSpec]:
    """Yield the action that asks the agent in the guest, of a machine that has a channel to it."""
    if table is not None and table.agent is not None:
        program = (sys.executable, "-I", "-m", "virtsupd.services.machine_agent", name, table.agent)
        about = "ask the agent in its guest, or have it run a command; --help says more"
        # What it runs, it runs as root in the guest.
        yield ActionSpec("agent", about, program, needs_admin=True, is_interactive=True)


def machine_stop(table: StopTable) -> Stop:
    """Return how a machine is ended; without steps, as any process is."""
    steps = tuple(StopStep(MachineStopHow(step.how), step.time) for step in table.steps or ())
    delay = sum(step.seconds for step in steps) if steps else table.delay
    return Stop(table.signal, delay, StopMode(table.mode), steps=steps)


def machine_clashes(specs: Iterable[ServiceSpec]) -> Iterator[tuple[Name, str]]:
    """Yield machines that can never run beside one before them: a port or a directory is that one's.

    Those that conflict never are to.
    """
    taken: dict[int | str, ServiceSpec] = {}
    for spec in specs:
        machine = spec.process.machine if spec.process is not None else None
        if machine is None:
            continue
        told: set[Name] = set()
        wanted: tuple[int | str, ...] = (*machine.ports, machine.directory)
        for what in wanted:
            first = taken.setdefault(what, spec)
            if first is not spec and first.name not in told and not _are_rivals(first, spec):
                told.add(first.name)
                kind = "port" if isinstance(what, int) else "directory"
                yield spec.name, f"{kind} {what} is taken by {first.name} already"


def _are_rivals(one: ServiceSpec, other: ServiceSpec) -> bool:
    return bool({*one.conflicts} & {*other.provides} or {*other.conflicts} & {*one.provides})
