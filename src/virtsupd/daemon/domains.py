"""Guests of libvirt, put together: links that are processes, over the supervisor's graph."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from anyio.abc import TaskGroup

from virtsupd.core.domain import DomainSpec
from virtsupd.core.frozen import frozen
from virtsupd.core.graph import ServiceGraph
from virtsupd.process.clock import Clock
from virtsupd.process.plan import Spawner
from virtsupd.process.reaper import Reaper
from virtsupd.supervisor.domain_work import domains_of
from virtsupd.supervisor.interpreter import Interpreter
from virtsupd.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from virtsupd.supervisor.domains import Domains


@frozen
class Processes:
    """Makes them, and waits for them."""

    spawner: Spawner
    reaper: Reaper


class GuestsOfLibvirt:
    """Carries out the effects about guests of libvirt from when it is needed on.

    What it takes is imported then, which a host without such guests does not wait for at its start.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        processes: Processes,
        supervisor: Callable[[], Supervisor],
        *,
        address: Callable[[str], str],
        clock: Clock,
        tasks: TaskGroup,
    ) -> None:
        """Take who is to have them, and what returns the supervisor, which may be made later.

        `address` returns where a libvirt is now that guests name by its URI.
        """
        self._address = address
        self._interpreter = interpreter
        self._processes = processes
        self._supervisor = supervisor
        self._clock = clock
        self._tasks = tasks
        self._domains: Domains | None = None

    def expect(self, graph: ServiceGraph) -> None:
        """Prepare for a graph that is about to be in force, if one of its services needs it."""
        if domains_of(graph):
            self.prepare()

    def prepare(self) -> "Domains":
        """Return what starts, watches and ends them; no link is made before it is needed."""
        if self._domains is None:
            from virtsupd.process.libvirt_link import LibvirtLink  # noqa: PLC0415  (see above)
            from virtsupd.supervisor.domains import Domains  # noqa: PLC0415  (see above)
            from virtsupd.supervisor.libvirts import Libvirts  # noqa: PLC0415  (see above)

            spawner, children = self._processes.spawner, self._processes.reaper
            libvirts = Libvirts(
                lambda uri: LibvirtLink(
                    uri, spawner=spawner, children=children, address=self._address
                ),
                clock=self._clock,
                tasks=self._tasks,
            )
            self._domains = self._interpreter.domains = Domains(
                libvirts,
                declared=lambda: domains_of(self._supervisor().engine.graph),
                post=lambda event: self._supervisor().post(event),
                clock=self._clock,
                tasks=self._tasks,
            )
        return self._domains

    def attend(self) -> None:
        """Listen to what becomes of all domains that services stand for, whether these run or not."""
        self.prepare().attend()

    def seen(self) -> frozenset[DomainSpec]:
        """Return the domains that end as services: those that are known to run, or begin to."""
        return self._domains.seen() if self._domains is not None else frozenset()

    async def leave(self) -> None:
        """Listen no more; guests run on."""
        if self._domains is not None:
            await self._domains.leave()
