"""What must hold as it happens: promises checked against the truth of the world, not the engine.

`settled` looks at the rest, once nothing happens any more.
"""

from dataclasses import dataclass, field

from tests.simulation.disk import Disk
from tests.simulation.traces import covers, demand, read
from tests.simulation.virtsupd import Client, Virtsupd
from tests.simulation.world import Process, Violation, World

from virtsupd.core.effects import Result
from virtsupd.core.events import Asked, Verb
from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.snapshot import State
from virtsupd.core.spec import StopMode

_MARGIN_SECONDS = 0.1
_BY_DEFINITION = ("", "boot", "reload")
"""Who wants what no command was about."""


@dataclass
class Judge:
    """Watches one simulation, over all the virtsupds that live in it."""

    world: World
    disk: Disk
    acknowledged: dict[Name, bool] = field(default_factory=dict)
    """What was wanted of each service when a client was last answered."""
    since: dict[Name, set[bool]] = field(default_factory=dict)
    """What was wanted of it later."""
    modes: dict[Name, StopMode] = field(default_factory=dict)
    """How the present or last stop of each service went about it."""
    may_end: set[Name] = field(default_factory=set)
    """Guests of which an operator, or a shutdown, has said that they may."""
    crashes: list[float] = field(default_factory=list)
    respawns: dict[Name, list[float]] = field(default_factory=dict)
    restarts: dict[Name, int] = field(default_factory=dict)
    ups: dict[Name, Process | None] = field(default_factory=dict)
    """Leaders of what ran, as virtsupd died."""

    def __post_init__(self) -> None:
        self.world.on_signal = self.signalled
        self.virtsupd: Virtsupd | None = None

    def service(self, name: Name) -> Service | None:
        virtsupd = self.virtsupd
        if virtsupd is None or name not in virtsupd.engine._host.services:
            return None
        return virtsupd.engine.service(name)

    # As it happens

    def spawning(self, name: Name) -> None:
        """Nothing is doubled, and nothing starts before what it needs."""
        virtsupd = self.virtsupd
        if virtsupd is None:
            raise Violation("nobody lives")
        lead = self.world.lead(name)
        demand(lead is None, name, "is doubled:", lead)
        engine = virtsupd.engine
        for need in engine.graph.needs[name]:
            self._demand_satisfied(engine.service(need), name)
        for rival in engine.graph.conflicts[name]:
            demand(not engine.service(rival).is_alive, name, "starts beside its rival", rival)
        self.modes.pop(name, None)

    def _demand_satisfied(self, need: Service, name: Name) -> None:
        other = need.spec.name
        # What was not needed may be asked again by the same event that starts who needs it.
        demand(need.view.holds, name, "starts without", other)
        if need.state is not State.RUNNING or need.pid is None:
            return
        lead = self.world.lead(other)
        mistaken = self.world.alive(need.pid)
        if mistaken is not None and mistaken.is_mistaken:
            return
        if lead is not None:
            is_taken_for_ready = need.adopted_at is not None or not need.origin.probe
            demand(lead.is_ready or is_taken_for_ready, name, "starts before", other, "is ready")
        elif self.virtsupd is not None:
            is_news = self.world.last_deaths.get(other, 0.0) >= self.virtsupd.began
            demand(is_news, name, "starts, and", other, "died before virtsupd began")

    def _count_respawns(self, service: Service) -> None:
        name, policy = service.spec.name, service.spec.respawn
        new = service.restarts - self.restarts.get(name, 0)
        self.restarts[name] = service.restarts
        if policy is None or new <= 0:
            return
        now = self.world.now
        begin = now - policy.window_seconds + _MARGIN_SECONDS
        # What came since the last look: while there was much to do, or before a crash, that was a while ago.
        came = [at - self.world.wall_offset for at in reversed(service.respawns[:new])]
        times = [at for at in (*self.respawns.get(name, []), *came) if at > begin]
        self.respawns[name] = times
        slack = sum(at >= begin for at in self.crashes)
        demand(len(times) <= policy.limit + slack, name, "is respawned too often:", times)

    def forgive(self) -> None:
        """Respawns count anew: an operator has taken over, or a new configuration."""
        self.respawns.clear()
        services = self.virtsupd.engine._host.services if self.virtsupd is not None else {}
        self.restarts.update({name: service.restarts for name, service in services.items()})

    def reloading(self) -> None:
        """Another configuration, or the start after a shutdown, may want something else."""
        self.forgive()
        self.acknowledged.clear()
        self.since.clear()

    def asked(self, asked: Asked) -> None:
        """A command is taken: it may end guests, and those who start again have new respawns."""
        names = self.virtsupd.engine.names() if self.virtsupd is not None else ()
        if asked.verb in (Verb.STOP, Verb.RESTART, Verb.START):
            self.may_end.update(names if asked.guests else asked.names)
        elif asked.verb is Verb.SHUTDOWN:
            self.may_end.update(names)
        if asked.verb in (Verb.START, Verb.RESTART, Verb.ENABLE):
            self.forgive()

    def noticing(self, name: Name, *, wanted: bool) -> None:
        """It is decided whether a service is wanted."""
        self.since.setdefault(name, set()).add(wanted)

    def signalled(self, process: Process, number: int) -> None:
        """Nothing is signalled that virtsupd did not start, or that the mode leaves alone."""
        name = process.name
        if name is None:
            raise Violation(f"a stranger gets signal {number}: {process}")
        service = self.service(name)
        run = self.virtsupd.interpreter.run(name) if self.virtsupd is not None else None
        if service is None or run is None:
            raise Violation(f"{name} is nobody's and gets signal {number}: {process}")
        if number == 1:
            return
        mode = self.modes.get(name, service.spec.stop.mode)
        may_be_mistaken = process.is_lost or process.is_mistaken
        may_be_mistaken = may_be_mistaken and process.role != "guest"
        demand(
            covers(mode, process) or may_be_mistaken,
            name,
            ": its",
            process.role,
            "gets signal",
            number,
        )
        may_end = not self._is_guest(service) or name in self.may_end
        demand(may_end, "guest", name, "ends by accident: signal", number)

    def _has_fallen(self, name: Name) -> bool:
        """Whether something died that a service is bound to."""
        if self.virtsupd is None:
            return False
        engine = self.virtsupd.engine
        return any(not engine.service(bond).view.holds for bond in engine.graph.binds[name])

    def ending(self, name: Name, mode: StopMode) -> None:
        self.modes[name] = mode
        service = self.service(name)
        if service is None or self._is_fair(service):
            self.may_end.add(name)

    def _is_fair(self, service: Service) -> bool:
        """Whether it may end without anybody's leave."""
        has_died = service.death is not None or self._has_fallen(service.spec.name)
        return has_died or not self._is_guest(service)

    def _is_guest(self, service: Service) -> bool:
        return service.origin.is_guest and service.spec.is_guest

    def stopped(self, name: Name) -> None:
        """It is about to start again, or to be forgotten: nothing of its last run is left."""
        self._demand_stopped(name)

    def forgotten(self, name: Name) -> None:
        """It is there no longer: what a later one of its name is wanted for is said anew."""
        self.stopped(name)
        self.acknowledged.pop(name, None)
        self.since.pop(name, None)

    def _demand_stopped(self, name: Name) -> None:
        for process in self.world.living(name):
            if process.is_released:
                continue
            mode = self.modes.get(name, StopMode.PROCESS)
            demand(not covers(mode, process), name, "has stopped, and its", process, "lives")
            process.is_released = True

    def answered(self, client: Client) -> None:
        """What was said is kept, and what was asked for is wanted."""
        virtsupd = self.virtsupd
        if virtsupd is None:
            raise Violation("an answer from the dead")
        services = virtsupd.engine._host.services
        if virtsupd.engine.has_finished:
            return  # all is forgotten with the end of the shutdown
        self.acknowledged = {
            name: service.wanted
            for name, service in services.items()
            if service.wanted_by not in _BY_DEFINITION
        }
        self.since.clear()
        asked, answer = client.asked, client.answers[-1]
        for report in answer.reports if len(answer.reports) == 1 else ():
            service = services.get(report.name)
            if service is None or report.result is not Result.DONE:
                continue
            if asked.verb is Verb.STOP:
                demand(not service.wanted, report.name, ": stopped, and yet wanted")
            elif asked.verb in (Verb.START, Verb.RESTART):
                demand(service.wanted, report.name, ": started, and yet not wanted")

    def quickly(self) -> None:
        """After every event: what has changed is as it should be."""
        virtsupd = self.virtsupd
        if virtsupd is None:
            return
        changed = virtsupd.engine.changed
        if not changed or virtsupd.supervisor._effects:
            return
        virtsupd.engine.changed = set()
        for name in changed:
            service = self.service(name)
            if service is None:
                continue
            self._count_respawns(service)
            if service.state is State.STOPPED:
                self._demand_stopped(name)
                self.may_end.discard(name)

    # A virtsupd ends and another one begins

    def died(self, virtsupd: Virtsupd) -> None:
        """At the moment of a crash every process has a record that leads to it."""
        if not virtsupd.is_taken_over:
            self.crashes.append(self.world.now)
        services = tuple(virtsupd.engine._host.services.values()) if virtsupd.is_made else ()
        for service in services:
            if service.state is State.STOPPED:
                self._demand_stopped(service.spec.name)
            elif (service.is_ending or service.view.must_stop) and self._is_fair(service):
                self.may_end.add(service.spec.name)
        self._demand_recorded({service.spec.name: service for service in services})
        if virtsupd.is_taken_over:
            ups = [s for s in services if s.state is State.RUNNING and s.pid is not None]
            is_well = not any(s.view.must_stop or s.has_replacement for s in ups)
            names = [service.spec.name for service in ups if is_well]
            self.ups = {name: self.world.lead(name) for name in names}
        self.virtsupd = None

    def _demand_recorded(self, services: dict[Name, Service]) -> None:
        traces = read(self.disk, self.world).traces
        for name, living in self.world.by_name.items():
            service, trace = services.get(name), traces.get(name)
            mode = service.spec.stop.mode if service is not None else StopMode.PROCESS
            for process in living:
                if process.is_released or not covers(self.modes.get(name, mode), process):
                    continue
                is_found = trace is not None and trace.leads_to(process)
                demand(is_found, "no record leads to", process, ":", trace)

    def taken_over(self, virtsupd: Virtsupd, *, is_same: bool) -> None:
        """What was wanted is wanted, and what ran runs on."""
        self.virtsupd = virtsupd
        virtsupd.is_taken_over = True
        self.crashes.append(self.world.now)
        if not is_same:
            self.forgive()
            self._accept_other_wishes(virtsupd)
            return
        for name, service in virtsupd.engine._host.services.items():
            known = self.acknowledged.get(name)
            if service.is_removed or known is None:
                continue
            if service.wanted not in {known, *self.since.get(name, ())}:
                raise Violation(f"{name}: wanted is {service.wanted}, and {known} was answered")
        self._demand_kept(virtsupd)

    def _accept_other_wishes(self, virtsupd: Virtsupd) -> None:
        """Another configuration may want something else: rivals that were none, or are none any more."""
        for name, service in virtsupd.engine._host.services.items():
            if self.acknowledged.get(name) is not service.wanted:
                self.acknowledged.pop(name, None)

    def _demand_kept(self, virtsupd: Virtsupd) -> None:
        is_under_way = virtsupd.supervisor._is_scheduled or virtsupd.engine.is_shutting_down
        leads = [(name, lead) for name, lead in self.ups.items() if lead is not None]
        if is_under_way or len(leads) < len(self.ups) or not all(p.is_alive for _, p in leads):
            return
        for name, lead in leads:
            found = self.service(name)
            is_kept = found is not None and found.is_up and found.pid == lead.pid
            is_kept = is_kept or (found is not None and not found.wanted)
            is_kept = is_kept or bool(virtsupd.engine.graph.binds[name])
            demand(is_kept, name, "ran as", lead.pid, "and was not taken over:", found)
