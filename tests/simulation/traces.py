"""What the disk of the simulated host tells, and how a broken promise is told."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.simulation.disk import Disk, Files
from tests.simulation.power import Power
from tests.simulation.world import Process, Violation, World

from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.spec import StopMode
from virtsupd.supervisor.records import Records


def demand(holds: object, *words: object) -> None:
    """Fail with these words if it does not hold; they are put together only then."""
    if not holds:
        raise Violation(" ".join(map(str, words)))


def covers(mode: StopMode, process: Process) -> bool:
    """Whether a stop under this mode has to end the process."""
    match mode:
        case StopMode.PROCESS:
            return process.is_lead
        case StopMode.GROUP:
            return (process.is_lead or process.role == "worker") and not process.is_lost
        case StopMode.CGROUP:
            return True


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a record says that the processes of a service are."""

    leader: int | None
    cgroup: str | None

    def leads_to(self, process: Process) -> bool:
        in_cgroup = process.cgroup is not None and self.cgroup == str(process.cgroup.path)
        return in_cgroup or self.leader == process.pid


@dataclass(frozen=True, slots=True)
class Written:
    """The records, as a successor would read them."""

    kept: Mapping[Name, Service]
    traces: Mapping[Name, Trace]


def read(disk: Disk, world: World) -> Written:
    """Read the disk as a successor would."""
    records = Records(Files(disk.records, Power()), world.epoch)
    traces = {}
    for name in records._entries:
        record = records.record(name)
        if record is not None:
            leader = record.leader.pid if record.leader is not None else None
            cgroup = str(record.cgroup) if record.cgroup is not None else None
            traces[name] = Trace(leader, cgroup)
    return Written(records.kept(), traces)
