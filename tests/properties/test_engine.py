"""Random operators, crashes and reloads on random graphs: what holds after every step."""

from collections.abc import Iterator
from copy import copy
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.pure_host import CLEAN, FAILED, NOTIFY, PureHost, service

from virtsupd.core.effects import Effect
from virtsupd.core.engine import Engine, Remembered
from virtsupd.core.events import Event, Instant, Verb
from virtsupd.core.exits import ExitStatus
from virtsupd.core.graph import GraphError, ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.settle import view_of
from virtsupd.core.snapshot import State
from virtsupd.core.spec import ExecProbe, Health, Reload, Respawn, ServiceSpec

# Shrinking what it found takes longer than a test may.
pytestmark = pytest.mark.timeout(120)

NAMES = tuple("abcdefgh")
NOT_NEEDED = ExitStatus(77)
EFFECTS_PER_SERVICE = 25
"""More than one event can do to each service once: stop, settle, start and what is told of it."""
_EDGES = ("requires", "binds_to", "wants", "after")
_RESPAWNS = (None, Respawn(delay_seconds=0.0, limit=2), Respawn(delay_seconds=1.0, limit=3))


def rarely(draw: st.DrawFn) -> bool:
    return draw(st.integers(0, 5)) == 0


@st.composite
def specs(draw: st.DrawFn) -> tuple[ServiceSpec, ...]:
    """A sound graph of up to eight services; edges lead to earlier names."""
    count = draw(st.integers(1, len(NAMES)))
    made = [draw(one_of(name, NAMES[:index])) for index, name in enumerate(NAMES[:count])]
    try:
        ServiceGraph.build(made)
    except GraphError:
        return tuple(replace(spec, conflicts=(), transient=False) for spec in made)
    return tuple(made)


@st.composite
def one_of(draw: st.DrawFn, name: str, earlier: tuple[str, ...]) -> ServiceSpec:
    """A service of any kind."""
    ends = st.lists(st.sampled_from(earlier), unique=True, max_size=2) if earlier else st.just([])
    spec = service(
        name,
        **{edge: draw(ends) for edge in _EDGES},
        conflicts=draw(ends) if rarely(draw) else [],
        part_of=draw(ends) if rarely(draw) else [],
        autostart=draw(st.booleans()),
        respawn=draw(st.sampled_from(_RESPAWNS)),
        is_guest=rarely(draw),
        transient=rarely(draw),
        not_needed_exit=frozenset({77}),
        reload=Reload("SIGHUP"),
        health=Health(
            ExecProbe(("check",)), on_failure=draw(st.sampled_from(["restart", "degrade"]))
        ),
    )
    if draw(st.booleans()):
        spec = replace(spec, ready=NOTIFY)
    if rarely(draw):
        return replace(spec, process=None)
    return replace(spec, one_shot=True, ready=NOTIFY) if rarely(draw) else spec


class BoundedEngine(Engine):
    """An engine whose every step has to end after few effects."""

    def advance(self, event: Event, now: Instant) -> tuple[Effect, ...]:
        effects = super().advance(event, now)
        assert len(effects) <= EFFECTS_PER_SERVICE * len(NAMES) * 2, "it does not come to rest"
        return effects


class EngineMachine(RuleBasedStateMachine):
    """One host under a random operator."""

    host: PureHost

    @initialize(made=specs(), kept=st.dictionaries(st.sampled_from(NAMES), st.booleans()))
    def boot(self, made: tuple[ServiceSpec, ...], kept: dict[str, bool]) -> None:
        remembered = {name: Remembered(wanted, enabled=True) for name, wanted in kept.items()}
        self.host = PureHost.of(*made, remembered=remembered, engine=BoundedEngine)
        self.asked: dict[int, Verb] = {}

    def services(self) -> Iterator[tuple[Name, Service]]:
        if hasattr(self, "host"):
            for name in self.host.engine.names():
                yield name, self.host.engine.service(name)

    def pick(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(self.host.engine.names()))

    # What happens

    @precondition(lambda self: self.host.engine.names())
    @rule(data=st.data(), verb=st.sampled_from([v for v in Verb if v is not Verb.SHUTDOWN]))
    def ask(self, data: st.DataObject, verb: Verb) -> None:
        known = st.sampled_from(self.host.engine.names())
        names = data.draw(st.lists(known, min_size=1, max_size=2, unique=True))
        guests = data.draw(st.booleans())
        before = {n for n, s in self.services() if s.spec.is_guest and s.is_up}
        falling = {n for n in before if self.host.engine.service(Name(n)).view.must_stop}
        told = self.host.engine.would_touch(verb, [Name(name) for name in names]).stopped
        staying = {n for n, s in self.services() if s.is_up and not s.view.must_stop}
        self.asked[self.host.ask(verb, *names, guests=guests)] = verb
        if self.host.unspawnable:
            # What is asked again and cannot be spawned takes down what is bound to it: a crash.
            return
        self.nothing_else_ends(staying.difference(told))
        if not guests:
            self.no_other_guest_ends(before - falling - set(names))

    def nothing_else_ends(self, staying: set[Name]) -> None:
        """A peer may give a command if it may stop what `would_touch` tells."""
        for name in staying:
            found = self.host.engine.service(name)
            assert found.is_up, f"{name} ended and was not told"
            assert not found.view.must_stop, f"{name} ends and was not told"

    def no_other_guest_ends(self, guests: set[Name]) -> None:
        for name in guests:
            found = self.host.engine.service(name)
            assert found.is_up, f"{name} ended by accident"
            assert not found.view.must_stop, f"{name} ends by accident"

    @precondition(lambda self: self.host.processes)
    @rule(data=st.data(), status=st.sampled_from([CLEAN, FAILED, NOT_NEEDED]))
    def exits(self, data: st.DataObject, status: ExitStatus) -> None:
        name = data.draw(st.sampled_from(sorted(self.host.processes)))
        if not self.host.processes[name].is_done:
            self.host.exits(name, status)

    @rule(data=st.data(), holds=st.booleans())
    def is_probed(self, data: st.DataObject, *, holds: bool) -> None:
        starting = [
            n for n, s in self.services() if s.state is State.STARTING and not s.spec.one_shot
        ]
        if starting:
            name = data.draw(st.sampled_from(starting))
            (self.host.ready if holds else self.host.never_ready)(name)

    @rule(data=st.data(), why=st.sampled_from([None, "slow"]))
    def health_changes(self, data: st.DataObject, why: str | None) -> None:
        """A service may call itself stuck at any time, before it is ready or while it stops."""
        if self.host.processes:
            self.host.health(data.draw(st.sampled_from(sorted(self.host.processes))), why)

    @rule(seconds=st.sampled_from([0.5, 2.0, 10.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.host.pass_time(seconds)

    @precondition(lambda self: self.host.engine.names())
    @rule(data=st.data(), unkillable=st.booleans())
    def turns_stubborn(self, data: st.DataObject, *, unkillable: bool) -> None:
        (self.host.unkillable if unkillable else self.host.stubborn).add(self.pick(data))

    @precondition(lambda self: self.host.unkillable)
    @rule(data=st.data())
    def gives_way(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.host.unkillable)))
        self.host.unkillable.discard(name)
        if name in self.host.processes and self.host.state(name) is State.STOPPING:
            self.host.lets_go(name)

    @precondition(lambda self: self.host.engine.names())
    @rule(data=st.data(), permanent=st.booleans())
    def cannot_be_spawned(self, data: st.DataObject, *, permanent: bool) -> None:
        self.host.fails_to_spawn(self.pick(data), permanent=permanent)

    @rule()
    def can_be_spawned_again(self) -> None:
        self.host.unspawnable.clear()

    @rule(made=specs())
    def reload(self, made: tuple[ServiceSpec, ...]) -> None:
        before = {n for n, s in self.services() if s.spec.is_guest and s.is_up}
        falling = {n for n in before if self.host.engine.service(n).view.must_stop}
        self.host.reload(*made)
        self.no_other_guest_ends(before - falling)

    @rule()
    @precondition(lambda self: not self.host.engine.is_shutting_down)
    def shut_down(self) -> None:
        if self.host.tickets % 5 == 4:
            self.host.ask(Verb.SHUTDOWN)

    # virtsupd is killed

    @rule(
        data=st.data(),
        seconds=st.sampled_from([0.0, 1.0, 100.0]),
        made=st.one_of(st.none(), st.none(), specs()),
    )
    def virtsupd_dies(
        self, data: st.DataObject, seconds: float, made: tuple[ServiceSpec, ...] | None
    ) -> None:
        staying = {n for n, s in self.services() if s.state is State.RUNNING}
        staying -= {n for n, s in self.services() if s.view.must_stop}
        pids = {n: self.host.pid(n) for n in staying}
        ended = self.succeed(data, seconds, made)
        if made is None and not ended:
            for name, pid in pids.items():
                found = self.host.service(name)
                assert found.state is State.RUNNING, f"{name} ended by itself"
                assert self.host.pid(name) == pid == found.pid, name

    @precondition(lambda self: self.host.engine.names())
    @rule(
        data=st.data(),
        effects=st.integers(0, 30),
        verb=st.sampled_from([Verb.START, Verb.STOP, Verb.RESTART]),
    )
    def virtsupd_dies_in_a_command(self, data: st.DataObject, effects: int, verb: Verb) -> None:
        self.host.effects_left = effects
        ticket = self.host.ask(verb, self.pick(data), guests=data.draw(st.booleans()))
        self.was_answered(ticket, verb)
        self.succeed(data, 0.0, None)

    @precondition(lambda self: self.host.processes)
    @rule(data=st.data(), effects=st.integers(0, 10))
    def virtsupd_dies_as_a_service_does(self, data: st.DataObject, effects: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.host.processes)))
        if not self.host.processes[name].is_done:
            self.host.effects_left = effects
            self.host.exits(name, FAILED)
            self.succeed(data, 0.0, None)

    def was_answered(self, ticket: int, verb: Verb) -> None:
        if ticket in self.host.answers:
            self.asked[ticket] = verb

    def succeed(
        self, data: st.DataObject, seconds: float, made: tuple[ServiceSpec, ...] | None
    ) -> set[Name]:
        """Let a successor take over, after some processes have ended and perhaps left no trace.

        Returns who ended.
        """
        old = self.host
        alive = {n: p.pid for n, p in old.processes.items() if not p.is_done}
        ending = data.draw(st.sets(st.sampled_from(sorted(alive)))) if alive else set()
        status = st.sampled_from([CLEAN, FAILED, NOT_NEEDED, ExitStatus()])
        died = {str(name): data.draw(status) for name in sorted(ending)}
        gone = sorted(old.records.keys() - old.processes.keys() | ending)
        lost = data.draw(st.sets(st.sampled_from(gone))) if gone else set()
        before = {n: copy(s) for n, s in old.kept.items()}
        self.host = old.successor(*(made or ()), died=died, lost=lost, away=seconds)
        self.asked = {t: v for t, v in self.asked.items() if t in old.answers}
        self.host.answers = dict(old.answers)
        if made is None:
            self.nothing_is_forgotten(before, old.remembered)
            self.nothing_ends_that_was_to_run_on(before, alive, ending)
        return ending

    def nothing_is_forgotten(
        self, before: dict[Name, Service], remembered: dict[Name, Remembered]
    ) -> None:
        for name, kept in before.items():
            if name in self.host.engine.names():
                found = self.host.service(name)
                asked = remembered.get(name)
                was_wanted = kept.wanted if asked is None else asked.wanted
                if was_wanted or (asked is not None and was_wanted is False):
                    assert found.wanted == was_wanted, f"{name} is wanted otherwise"
                assert found.restarts >= kept.restarts, name
                assert len(found.exits) >= len(kept.exits), name

    def nothing_ends_that_was_to_run_on(
        self, before: dict[Name, Service], alive: dict[Name, int], ending: set[Name]
    ) -> None:
        """What ran and has lost nothing that it is bound to is the same process still."""
        for name, pid in alive.items():
            kept = before.get(name)
            if kept is None or kept.state is not State.RUNNING or name in ending:
                continue
            found = self.host.engine._host.services.get(name)
            if found is not None and found.is_up and found.generation == kept.generation:
                assert self.host.pid(name) == pid == found.pid, name
                assert found.since == kept.since, name

    # What holds

    @invariant()
    def processes_are_those_of_the_services(self) -> None:
        """Nothing is doubled and nothing forgotten: each process is known, and each pid is real."""
        for name, found in self.services():
            process = self.host.processes.get(name)
            if found.pid is not None:
                assert process is not None, f"{name} has a pid and no process"
                assert process.pid == found.pid, name
            if process is not None:
                assert found.generation == process.generation, f"{name} has another's process"

    @invariant()
    def nothing_is_sought_for_long(self) -> None:
        if self.alive():
            assert not self.host.engine._host.sought

    @invariant()
    def stopped_means_no_process(self) -> None:
        for name, found in self.services():
            assert found.is_alive or name not in self.host.processes, name
        if hasattr(self, "host"):
            assert set(self.host.processes) <= set(self.host.engine.names())

    @invariant()
    def what_can_start_has_started(self) -> None:
        for name, found in self.services():
            assert found.is_alive or self.host.hold(name) is not None, f"{name} could start"

    @invariant()
    def a_bond_that_fell_takes_its_service_down(self) -> None:
        for name, found in self.services():
            for bond in self.host.engine.graph.binds[name]:
                holds = self.host.engine.service(bond).view.holds
                assert holds or not found.is_up or found.view.must_stop, (name, bond)

    @invariant()
    def the_wanted_state_is_reached_or_a_reason_is_given(self) -> None:
        for name, found in self.services():
            if self.host.is_wanted(name):
                why = self.host.engine.snapshot(name).reason
                assert found.is_alive or why is not None, name
            elif found.is_up:
                assert any(self.is_in_the_way(n) for n in self.behind(name)), f"{name} runs on"

    def behind(self, name: Name) -> tuple[Name, ...]:
        """Those that have to be gone before a service stops."""
        graph = self.host.engine.graph
        if self.host.engine.is_shutting_down and not self.host.engine.service(name).spec.is_guest:
            guests = (n for n, s in self.services() if s.spec.is_guest)
            return (*graph.needed_by[name], *graph.later[name], *guests)
        return (*graph.needed_by[name], *graph.later[name])

    def is_in_the_way(self, name: Name) -> bool:
        found = self.host.engine.service(name)
        return found.is_alive and not found.is_stuck

    @invariant()
    def views_are_current(self) -> None:
        for name, found in self.services():
            assert found.view == view_of(self.host.engine._host, found), name

    @invariant()
    def who_stops_or_waits_has_a_timer(self) -> None:
        armed = {(name, str(kind)) for name, kind in self.host.timers} if self.alive() else set()
        for name, found in self.services():
            if found.state is State.STOPPING and not found.is_stuck:
                assert (name, "stop-delay") in armed, name
            assert (found.retry_at is not None) == ((name, "backoff") in armed), name

    def alive(self) -> bool:
        return hasattr(self, "host")

    def teardown(self) -> None:
        """In the end everything can be shut down, and every command was answered."""
        if not self.alive():
            return
        if not self.host.engine.is_shutting_down:
            self.host.ask(Verb.SHUTDOWN)
        self.host.pass_time(1000.0)
        assert self.host.is_finished
        assert set(self.host.processes) <= self.host.unkillable
        assert not self.host.timers
        missing = {t: v for t, v in self.asked.items() if t not in self.host.answers}
        assert not missing, missing


TestEngineMachine = EngineMachine.TestCase
TestEngineMachine.settings = settings(
    max_examples=150, stateful_step_count=25, deadline=None, database=None
)
