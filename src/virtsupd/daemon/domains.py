"""Guests of libvirt, put together: links that are processes, over the supervisor's graph."""

from collections.abc import Callable
from dataclasses import dataclass

from anyio.abc import TaskGroup

from virtsupd.process.clock import Clock
from virtsupd.process.libvirt_link import LibvirtLink
from virtsupd.process.plan import Spawner
from virtsupd.process.reaper import Reaper
from virtsupd.supervisor.domains import Domains, domains_of
from virtsupd.supervisor.libvirts import Libvirts
from virtsupd.supervisor.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class Processes:
    """Makes them, and waits for them."""

    spawner: Spawner
    reaper: Reaper


def domains_over(
    processes: Processes, supervisor: Callable[[], Supervisor], *, clock: Clock, tasks: TaskGroup
) -> Domains:
    """Return what carries out the effects about guests of libvirt; no link is made before it is needed.

    `supervisor` returns the one that is told; it may be made later.
    """
    spawner, children = processes.spawner, processes.reaper
    return Domains(
        Libvirts(lambda uri: LibvirtLink(uri, spawner=spawner, children=children), tasks=tasks),
        declared=lambda: domains_of(supervisor().engine.graph),
        post=lambda event: supervisor().post(event),
        clock=clock,
        tasks=tasks,
    )
