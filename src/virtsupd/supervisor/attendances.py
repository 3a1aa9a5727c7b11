"""Machines among the services: each run of a QEMU is attended to from its spawn or adoption on.

What attends to them is imported with the first one: a host that has none does not pay for it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import anyio

from virtsupd.core.events import Event, Told
from virtsupd.core.frozen import frozen
from virtsupd.core.machine import LastWords
from virtsupd.core.spec import MachineProbe, ProcessSpec, ServiceSpec, Stop
from virtsupd.errors import SpawnError
from virtsupd.process.clock import Clock
from virtsupd.process.identity import group_id, resolve_credentials
from virtsupd.process.stop import terminate
from virtsupd.supervisor.attended import Attended
from virtsupd.supervisor.runs import Run

if TYPE_CHECKING:
    from virtsupd.machine.attendance import Ports

Start = Callable[[Callable[[], Awaitable[None]], Run, Callable[[str], None]], None]
"""Starts a child task for a run; what it did not foresee is told to the last argument."""


@frozen
class Attendances:
    """Attends to machines."""

    ports: "Callable[[], Ports]"
    """Makes the ways to machines, for the first one."""
    clock: Clock
    start: Start
    told: Callable[[Run, Event], None]

    def begin(self, run: Run, spec: ServiceSpec) -> None:
        """Attend to a run, if it is a machine; as the definition in force has its rungs."""
        machine = run.process.machine
        if machine is None:
            return
        from virtsupd.machine.attendance import Attendance, Subject  # noqa: PLC0415 - see above

        probe = spec.ready.probe
        subject = Subject(
            name=run.name,
            machine=machine,
            rungs=probe.rungs if isinstance(probe, MachineProbe) else (),
            leader=lambda: run.leader,
            tell=lambda kind, text: self._tell(run, kind, text),
            is_adopted=run.is_adopted,
        )
        attended = run.attended = Attended(Attendance(subject, self.ports(), self.clock))

        async def attend() -> None:
            with attended.scope:
                await attended.attendance.run()

        self.start(attend, run, lambda defect: self._tell(run, "status", defect))

    def end(self, run: Run, stop: Stop) -> bool:
        """Walk down the stop ladder of a machine that has one; return False if there is none."""
        attended = run.attended
        if attended is None or not stop.steps or run.leader is None:
            return False
        if attended.descent is not None:
            return True
        scope = attended.descent = anyio.CancelScope()

        def send_signal() -> None:
            denied = terminate(run.remains(stop), stop.signal)
            if denied:
                self._tell(run, "denied", "; ".join(denied))

        async def descend() -> None:
            with scope:
                await attended.attendance.end(stop.steps, send_signal)

        self.start(descend, run, lambda defect: self._tell(run, "status", defect))
        return True

    def hear_out(self, run: Run, then: Callable[[LastWords], None]) -> None:
        """Call once all that a machine, which has ended, said before was heard; at once for all else."""
        attended = run.attended
        if attended is None:
            then(LastWords())
            return

        async def listen() -> None:
            words = await attended.attendance.last_words()
            attended.end()
            then(words)

        self.start(listen, run, lambda _: then(LastWords()))

    def give_back(self, run: Run) -> None:
        """Remove the place of a machine of which nothing is left; it is made again at its next start."""
        if run.process.machine is not None:
            from virtsupd.machine.reached import remove_places  # noqa: PLC0415 - see above

            remove_places(run.process.machine.directory)

    def _tell(self, run: Run, kind: Literal["status", "waiting", "denied"], text: str) -> None:
        self.told(run, Told(run.name, run.generation, kind, text))


def equip(process: ProcessSpec) -> ProcessSpec:
    """Make the place of a machine's sockets, and let it have KVM if it can; else return what was given.

    Raises:
        SpawnError: it cannot have what it demands, or its user is unknown.
        OSError: the place cannot be made.
    """
    machine = process.machine
    if machine is None:
        return process
    from virtsupd.machine.kvm import with_kvm  # noqa: PLC0415 - see above
    from virtsupd.machine.reached import make_places  # noqa: PLC0415 - likewise

    account = resolve_credentials(process)
    groups = frozenset((account.gid, *account.groups))
    command = with_kvm(process.command, kvm=machine.kvm, account=(account.uid, groups))
    group = machine.access_group
    try:
        make_places(machine.directory, account.uid, group_id(group) if group is not None else None)
    except OSError as error:
        text = f"cannot make {machine.directory}: {(error.strerror or str(error)).lower()}"
        raise SpawnError("machine", text, is_permanent=False) from error
    return replace(process, command=command)
