"""Who is signalled under which stop mode: as `virtsupd.process.stop`, on the simulated host."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from tests.simulation.power import Power
from tests.simulation.world import KILL, TERM, SimCgroup, World

from virtsupd.core.spec import StopMode
from virtsupd.process.stop import Remains

HUP = 1


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends signals to what is left of a service; between two of them virtsupd may die."""

    world: World
    power: Power
    remains: Remains

    def terminate(self) -> None:
        remains = self.remains
        if remains.mode is StopMode.PROCESS:
            self.to_leader(TERM)
            return
        is_reached = self._to_group(TERM)
        self._to_kin(TERM)
        if not is_reached and remains.mode is StopMode.CGROUP and remains.cgroup is not None:
            self._to_all(remains.cgroup.pids(), TERM)

    def kill(self) -> None:
        remains = self.remains
        if remains.mode is StopMode.PROCESS:
            self.to_leader(KILL)
            return
        if remains.mode is StopMode.CGROUP and remains.cgroup is not None:
            cast("SimCgroup", remains.cgroup).was_killed = True
            self._to_all(remains.cgroup.pids(), KILL, is_one_step=True)
        self._to_group(KILL)
        self._to_kin(KILL)

    def to_leader(self, number: int) -> None:
        found = self.world.alive(self.remains.leader)
        if found is not None:
            self.world.signal(found, number)

    def _to_group(self, number: int) -> bool:
        """Signal the leader's group, and the first process's; return whether there was anybody."""
        remains = self.remains
        found = self.world.alive(remains.leader)
        led = self.world.group(found.pid) if found is not None and found.leads_session else []
        if found is not None and not found.leads_session:
            self.to_leader(number)
        rest = [p for p in self.world.group(remains.group) if p not in led]
        self._to_all([p.pid for p in led], number, is_one_step=True)
        self._to_all([p.pid for p in rest], number)
        return bool(led or rest) or remains.leader is not None

    def _to_kin(self, number: int) -> None:
        for life in self.remains.kin:
            found = self.world.held(life)
            if found is not None:
                self.world.signal(found, number)
            self.power.strike()

    def _to_all(self, pids: Sequence[int], number: int, *, is_one_step: bool = False) -> None:
        for pid in pids:
            found = self.world.alive(pid)
            if found is not None:
                self.world.signal(found, number)
            if not is_one_step:
                self.power.strike()
