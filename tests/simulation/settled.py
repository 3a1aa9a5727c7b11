"""What must hold once nothing happens any more: services, processes, records and answers agree."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.simulation.judge import Judge
from tests.simulation.traces import covers, demand, read
from tests.simulation.virtsupd import Client, Virtsupd
from tests.simulation.world import Violation

from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.core.service import RestKind, Service
from virtsupd.core.snapshot import State
from virtsupd.core.spec import StopMode


def judge_settled(judge: Judge) -> None:
    """Raise what is broken."""
    if judge.virtsupd is None:
        raise Violation("nobody lives")
    _Settled(judge, judge.virtsupd).judge_all()


@dataclass(frozen=True, slots=True)
class _Settled:
    judge: Judge
    virtsupd: Virtsupd

    @property
    def services(self) -> Mapping[Name, Service]:
        return self.virtsupd.engine._host.services

    def judge_all(self) -> None:
        is_patient = any(map(_is_patient, self.services.values()))
        for service in self.services.values():
            if not service.is_stuck:
                self._demand_state(service, is_patient=is_patient)
            self._demand_process(service)
        self._demand_no_others()
        self._demand_records()
        _demand_answers(self.virtsupd.clients.values(), is_patient=is_patient)

    def _demand_state(self, service: Service, *, is_patient: bool) -> None:
        """A service is up if it is wanted and may be, and only then."""
        name = service.spec.name
        if service.state is State.STOPPED:
            self._demand_clean(service)
            demand(is_patient or self._is_held(service), name, "could run:", service)
            return
        is_there = service.state is State.RUNNING or _is_patient(service)
        demand(is_there, name, "is still", service.state, ":", service)
        if any(other.is_stuck for other in self.services.values()):
            return  # what stops after it has to wait
        engine = self.virtsupd.engine
        demand(engine._host.is_wanted(service), name, "runs, and nobody wants it:", service)
        for bond in engine.graph.binds[name]:
            demand(self.services[bond].view.holds, name, "runs, and is bound to", bond)

    def _demand_clean(self, service: Service) -> None:
        """Nothing that a clean-up takes away is left of what stays down by itself or by command."""
        name, host = service.spec.name, self.virtsupd.engine._host
        stays = not host.is_wanted(service) or not service.enabled or service.rest is not None
        is_left = name in self.judge.world.remains
        demand(not (stays and is_left), name, "is down, and was not cleaned up:", service)

    def _is_held(self, service: Service) -> bool:
        """Whether something keeps a stopped service down, worked out anew."""
        host, name = self.virtsupd.engine._host, service.spec.name
        if not host.is_wanted(service) or not service.enabled or service.rest is not None:
            return True
        rivals = [self.services[rival] for rival in host.graph.conflicts[name]]
        needs = [self.services[need] for need in host.graph.needs[name]]
        return any(rival.is_alive for rival in rivals) or not all(map(_satisfies, needs))

    def _demand_process(self, service: Service) -> None:
        """What the engine believes of a service's process is so."""
        name, lead = service.spec.name, self.judge.world.lead(service.spec.name)
        demand(service.retry_at is None, name, "backs off, and nothing ends that")
        if service.state is State.STOPPED:
            demand(lead is None or lead.is_released, name, "is stopped, and", lead, "lives")
        elif service.pid is not None and (service.state is State.RUNNING or service.is_late):
            found = self.judge.world.alive(service.pid)
            # Where a first process ended before it was recorded, what it left is taken for it.
            is_mistaken = lead is None and found is not None and found.is_mistaken
            is_it = found is not None and found.name == name and (found is lead or is_mistaken)
            demand(is_it, name, "runs as", service.pid, ", which is", found)
        elif service.state is State.RUNNING:
            is_idle = service.origin.one_shot or service.origin.is_stage
            demand(is_idle and lead is None, name, "runs without a process:", service)

    def _demand_no_others(self) -> None:
        world = self.judge.world
        for name in world.by_name.keys() - self.services.keys():
            mode = self.judge.modes.get(name, StopMode.PROCESS)
            left = [p for p in world.living(name) if not p.is_released and covers(mode, p)]
            demand(not left, name, "is no service any more, and", left, "lives")
        left_by = world.remains - self.services.keys()
        demand(not left_by, "no services any more, and not cleaned up:", left_by)

    def _demand_records(self) -> None:
        """What a successor would read is what is."""
        written = read(self.judge.disk, self.judge.world)
        more = written.kept.keys() - self.services.keys()
        demand(not more, "recorded, but no services:", more)
        for name, service in self.services.items():
            kept, trace = written.kept.get(name), written.traces.get(name)
            if service.has_past and not service.is_removed:
                demand(kept == service, name, "is", service, ", recorded", kept)
            if service.state is State.RUNNING and service.pid is not None:
                is_right = trace is not None and trace.leader in (service.pid, None)
                demand(is_right, name, "runs as", service.pid, ", recorded is", trace)
            elif service.state is State.STOPPED:
                demand(trace is None, name, "has stopped, recorded is", trace)


def _is_patient(service: Service) -> bool:
    """Whether it may start for ever: a slow guest, a one-shot changed while it ran, a condition that fell."""
    is_starting = service.state is State.STARTING
    is_endless = service.origin.one_shot and service.due is None
    return is_starting and (is_endless or service.is_late or service.has_fallen)


def _satisfies(need: Service) -> bool:
    is_idle = need.rest is not None and need.rest.kind is RestKind.NOT_NEEDED
    return need.state is State.RUNNING or (is_idle and need.state is State.STOPPED)


def _demand_answers(clients: Iterable[Client], *, is_patient: bool) -> None:
    for client in clients:
        may_wait = is_patient or client.asked.verb is Verb.WAIT
        demand(client.answers or may_wait, client.asked, "is never answered")
