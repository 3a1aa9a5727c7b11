"""Random operators, crashes and reloads on random graphs: what holds after every step."""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.pure_host import CLEAN, FAILED, NOTIFY, PureHost, service, target

from virtsupd.core.events import SpawnFailed, Verb
from virtsupd.core.graph import GraphError, ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.settle import view_of
from virtsupd.core.snapshot import State
from virtsupd.core.spec import Respawn, ServiceSpec

NAMES = tuple("abcdefgh")
_RESPAWNS = (None, Respawn(delay_seconds=0.0, limit=2), Respawn(delay_seconds=1.0, limit=3))


@st.composite
def specs(draw: st.DrawFn) -> tuple[ServiceSpec, ...]:
    """A sound graph of up to eight services; edges mostly lead to earlier names."""
    count = draw(st.integers(1, len(NAMES)))
    made: list[ServiceSpec] = []
    for index, name in enumerate(NAMES[:count]):
        earlier = st.lists(st.sampled_from(NAMES[:index]), unique=True, max_size=2)
        edges = earlier if index else st.just([])
        spec = (target if draw(st.integers(0, 5)) == 0 else service)(
            name,
            requires=draw(edges),
            binds_to=draw(edges),
            wants=draw(edges),
            after=draw(edges),
            conflicts=draw(edges) if draw(st.integers(0, 3)) == 0 else [],
            autostart=draw(st.booleans()),
            respawn=draw(st.sampled_from(_RESPAWNS)),
            is_guest=draw(st.integers(0, 5)) == 0,
        )
        if spec.process is not None and draw(st.booleans()):
            spec = service(name, **_fields(spec), ready=NOTIFY)
        if spec.process is not None and draw(st.integers(0, 4)) == 0:
            spec = service(name, **(_fields(spec) | {"one_shot": True, "ready": NOTIFY}))
        made.append(spec)
    return tuple(_sound(made))


def _fields(spec: ServiceSpec) -> dict[str, object]:
    kept = (
        "requires",
        "binds_to",
        "wants",
        "after",
        "conflicts",
        "autostart",
        "respawn",
        "is_guest",
    )
    return {key: getattr(spec, key) for key in kept}


def _sound(made: list[ServiceSpec]) -> list[ServiceSpec]:
    try:
        ServiceGraph.build(made)
    except GraphError:
        return [service(spec.name, requires=spec.requires) for spec in made]
    return made


class EngineMachine(RuleBasedStateMachine):
    """One host under a random operator."""

    host: PureHost

    @initialize(made=specs())
    def boot(self, made: tuple[ServiceSpec, ...]) -> None:
        self.host = PureHost.of(*made)
        self.asked: dict[int, Verb] = {}

    def _pick(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(self.host.engine.names()))

    @rule(data=st.data(), verb=st.sampled_from([v for v in Verb if v is not Verb.SHUTDOWN]))
    def ask(self, data: st.DataObject, verb: Verb) -> None:
        if not self.host.engine.names():
            return
        names = data.draw(
            st.lists(st.sampled_from(self.host.engine.names()), min_size=1, max_size=2, unique=True)
        )
        guests = data.draw(st.booleans())
        self.asked[self.host.ask(verb, *names, guests=guests)] = verb

    @precondition(lambda self: self.host.processes)
    @rule(data=st.data(), status=st.sampled_from([CLEAN, FAILED]))
    def exits(self, data: st.DataObject, status: object) -> None:
        name = data.draw(st.sampled_from(sorted(self.host.processes)))
        if not self.host.processes[name].is_done:
            self.host.exits(name, status)  # type: ignore[arg-type]

    @rule(data=st.data())
    def becomes_ready(self, data: st.DataObject) -> None:
        waiting = [
            n
            for n in self.host.engine.names()
            if self.host.state(n) is State.STARTING
            and not self.host.engine.service(n).spec.one_shot
        ]
        if waiting:
            self.host.ready(data.draw(st.sampled_from(waiting)))

    @rule(seconds=st.sampled_from([0.5, 2.0, 10.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.host.pass_time(seconds)

    @precondition(lambda self: self.host.engine.names())
    @rule(data=st.data())
    def turns_stubborn(self, data: st.DataObject) -> None:
        self.host.stubborn.add(self._pick(data))

    @precondition(lambda self: self.host.engine.names())
    @rule(data=st.data(), permanent=st.booleans())
    def cannot_be_spawned(self, data: st.DataObject, permanent: bool) -> None:
        name = self._pick(data)
        self.host.unspawnable[name] = SpawnFailed(Name(name), 0, "exec", "no such file", permanent)

    @rule()
    def can_be_spawned_again(self) -> None:
        self.host.unspawnable.clear()

    @rule(made=specs())
    def reload(self, made: tuple[ServiceSpec, ...]) -> None:
        self.host.reload(*made)

    @rule()
    @precondition(lambda self: not self.host.engine.is_shutting_down)
    def shut_down(self) -> None:
        if self.host.tickets % 5 == 4:
            self.host.ask(Verb.SHUTDOWN)

    @invariant()
    def stopped_means_no_process(self) -> None:
        if not hasattr(self, "host"):
            return
        for name in self.host.engine.names():
            has_process = name in self.host.processes
            assert self.host.state(name) is not State.STOPPED or not has_process, name
        assert set(self.host.processes) <= set(self.host.engine.names())

    @invariant()
    def what_can_start_has_started(self) -> None:
        if not hasattr(self, "host"):
            return
        engine = self.host.engine
        for name in engine.names():
            service_ = engine.service(name)
            if service_.state is State.STOPPED and engine.holds_back(service_) is None:
                raise AssertionError(f"{name} could start and does not")

    @invariant()
    def a_bond_that_fell_takes_its_service_down(self) -> None:
        if not hasattr(self, "host"):
            return
        engine = self.host.engine
        for name in engine.names():
            if self.host.state(name) in (State.STARTING, State.RUNNING):
                for bond in engine.graph.binds[name]:
                    fallen = not engine.service(bond).view.is_satisfied
                    assert not fallen or engine.service(name).view.must_stop, (name, bond)

    @invariant()
    def the_wanted_state_is_reached_or_a_reason_is_given(self) -> None:
        if not hasattr(self, "host"):
            return
        engine = self.host.engine
        for name in engine.names():
            found = engine.service(name)
            if found.state is State.STOPPED and engine.is_wanted(found):
                assert engine.snapshot(name).reason is not None, name
            if found.state is State.RUNNING and not engine.is_wanted(found):
                behind = (*engine.graph.needed_by[name], *engine.graph.later[name])
                assert any(engine.service(b).is_alive for b in behind), (
                    f"{name} should have stopped"
                )

    @invariant()
    def views_are_current(self) -> None:
        if not hasattr(self, "host"):
            return
        engine = self.host.engine
        for name in engine.names():
            found = engine.service(name)
            assert found.view == view_of(engine._host, found), name

    def teardown(self) -> None:
        """In the end everything can be shut down, and every command was answered."""
        if not hasattr(self, "host"):
            return
        if not self.host.engine.is_shutting_down:
            self.host.ask(Verb.SHUTDOWN)
        self.host.pass_time(1000.0)
        assert self.host.is_finished
        assert not self.host.processes
        assert not self.host.timers
        missing = {t: v for t, v in self.asked.items() if t not in self.host.answers}
        assert not missing, missing


TestEngineMachine = EngineMachine.TestCase
TestEngineMachine.settings = settings(
    max_examples=120, stateful_step_count=25, deadline=None, database=None
)
