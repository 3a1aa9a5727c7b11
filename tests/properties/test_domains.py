"""Guests of libvirt under a random operator, and under whoever starts and ends them by hand."""

from collections.abc import Iterator
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.pure_host import CRASHED, POWERED_OFF, Process, PureHost, domain, service

from virtsupd.core.domain import GuestStop
from virtsupd.core.events import Appeared, Exited, Verb
from virtsupd.core.exits import ExitStatus
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State
from virtsupd.core.spec import AgentProbe, Readiness, ServiceSpec, Stop

pytestmark = pytest.mark.timeout(120)

GUESTS = ("a", "b", "c")
SERVICES = ("libvirtd", "net")
AGENT = Readiness(AgentProbe(), 300.0)
ENDING = (Verb.STOP, Verb.RESTART)
VERBS = (Verb.START, *ENDING, Verb.ENABLE, Verb.DISABLE, Verb.WAIT)
ALONG = {"wants": ("libvirtd",), "after": ("libvirtd",)}


@st.composite
def configurations(draw: st.DrawFn) -> tuple[ServiceSpec, ...]:
    """libvirtd, a service, and some guests, which may require that and each other."""
    made = [service("libvirtd", hosts_guests=True), service("net")]
    for place, name in enumerate(GUESTS):
        if draw(st.booleans()):
            known = [spec.name for spec in made if spec.name in ("net", *GUESTS[:place])]
            made.append(draw(guests(name, known)))
    return tuple(made)


@st.composite
def guests(draw: st.DrawFn, name: str, known: list[Name]) -> ServiceSpec:
    spec = domain(
        name,
        requires=draw(st.lists(st.sampled_from(known), unique=True, max_size=1)),
        ready=draw(st.sampled_from([Readiness(), AGENT])),
        stop=Stop(delay_seconds=60.0, how=draw(st.sampled_from(GuestStop))),
        autostart=draw(st.booleans()),
        **ALONG,
    )
    return replace(spec, respawn=None) if draw(st.booleans()) else spec


class DomainMachine(RuleBasedStateMachine):
    """One host with guests. What ends a guest is a command that names it, or somebody else."""

    host: PureHost

    @initialize(made=configurations())
    def boot(self, made: tuple[ServiceSpec, ...]) -> None:
        self.host = PureHost.of(*made)
        self.doomed: set[str] = set()
        self.away: set[str] = set()
        """Those that run on another host, and may be started here by nobody but who names them."""
        self.ran = self.domains()

    def domains(self) -> set[str]:
        return {name for name, found in self.host.processes.items() if found.is_domain}

    def known(self) -> Iterator[str]:
        return (name for name in GUESTS if name in self.host.engine.names())

    def look(self) -> None:
        """Tell what libvirt tells of guests that run and that nobody looks after.

        It is asked for that after each connection and each reload (`Libvirts.attend`).
        """
        for name in sorted(self.domains() & set(self.host.engine.names())):
            found = self.host.service(name)
            if not found.is_alive and found.spec.stop.how is not GuestStop.LEAVE:
                self.host.post(Appeared(Name(name)))

    # What happens

    @rule(data=st.data(), verb=st.sampled_from(VERBS))
    def ask(self, data: st.DataObject, verb: Verb) -> None:
        names = data.draw(
            st.lists(st.sampled_from([*self.known(), *SERVICES]), min_size=1, unique=True)
        )
        if verb in ENDING:
            self.doomed |= set(names)
        if verb in (Verb.START, Verb.RESTART):
            self.away -= set(names)
        self.host.ask(verb, *names)

    @precondition(lambda self: self.domains())
    @rule(data=st.data(), status=st.sampled_from([POWERED_OFF, CRASHED]))
    def ends_by_itself(self, data: st.DataObject, status: ExitStatus) -> None:
        name = data.draw(st.sampled_from(sorted(self.domains())))
        self.ran.discard(name)
        if name in self.host.engine.names() and self.host.service(name).is_alive:
            self.host.exits(name, status)
        else:
            del self.host.processes[Name(name)]

    @precondition(lambda self: self.domains())
    @rule(data=st.data())
    def migrates_away(self, data: st.DataObject) -> None:
        name = Name(data.draw(st.sampled_from(sorted(self.domains()))))
        self.ran.discard(name)
        del self.host.processes[name]
        if name in self.host.engine.names() and self.host.service(name).is_alive:
            self.away.add(name)
            generation = self.host.service(name).generation
            self.host.post(Exited(name, generation, POWERED_OFF, is_elsewhere=True))

    @rule(name=st.sampled_from(GUESTS))
    def is_started_by_hand(self, name: str) -> None:
        self.away.discard(name)
        self.host.processes.setdefault(Name(name), Process(0, 0, is_domain=True))
        self.look()

    @rule(data=st.data())
    def becomes_ready(self, data: st.DataObject) -> None:
        found = [n for n in self.known() if self.host.state(n) is State.STARTING]
        if found:
            self.host.ready(data.draw(st.sampled_from(found)))

    @rule(name=st.sampled_from(SERVICES))
    def crashes(self, name: str) -> None:
        if self.host.pid(name) is not None:
            self.host.exits(name)

    @rule(name=st.sampled_from(GUESTS))
    def turns_deaf(self, name: str) -> None:
        self.host.stubborn.add(name)

    @rule()
    def libvirt_goes_or_returns(self) -> None:
        if self.host.unasked is None:
            self.host.loses_libvirt()
        else:
            self.host.finds_libvirt()

    @rule(seconds=st.sampled_from([1.0, 40.0, 301.0]))
    def time_passes(self, seconds: float) -> None:
        self.host.pass_time(seconds)

    @rule(made=configurations())
    def reload(self, made: tuple[ServiceSpec, ...]) -> None:
        self.host.reload(*made)
        self.look()

    @rule(made=st.none() | configurations(), effects=st.none() | st.integers(0, 12))
    def virtsupd_dies(self, made: tuple[ServiceSpec, ...] | None, effects: int | None) -> None:
        if effects is not None:
            self.host.effects_left = effects
            self.host.ask(Verb.START, "net", *self.known())
            self.away -= set(self.known())
        self.host = self.host.successor(*(made or ()))
        self.look()

    # What holds

    @invariant()
    def no_guest_ends_by_accident(self) -> None:
        if hasattr(self, "host"):
            lost = self.ran - self.domains() - self.doomed
            assert not lost, f"{lost} ended, and nobody had named them"
            names = self.host.engine.names()
            self.doomed = {n for n in self.doomed if n in names and self.is_ending(n)}
            self.ran = self.domains()

    def is_ending(self, name: str) -> bool:
        found = self.host.service(name)
        return found.state is State.STOPPING or found.view.must_stop

    @invariant()
    def no_guest_runs_on_two_hosts(self) -> None:
        if hasattr(self, "host"):
            self.away &= set(self.known())  # one that is no service any more is forgotten
            assert not self.away & self.domains()

    @invariant()
    def what_runs_is_what_is_said_to_run(self) -> None:
        if hasattr(self, "host"):
            for name in self.known():
                if self.host.state(name) is State.RUNNING:
                    assert name in self.domains(), f"{name} is not there"
                found = self.host.service(name)
                if found.spec.stop.how is not GuestStop.LEAVE and name in self.domains():
                    assert found.is_alive, f"nobody looks after {name}"


DomainMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, database=None
)
TestDomains = DomainMachine.TestCase
