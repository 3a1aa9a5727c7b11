"""Whatever happens to virtsupd, the clock and what a timer needs: no firing runs two jobs."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.pure_host import CLEAN, FAILED, PureHost, service, timer

from virtsupd.core.effects import RememberFirings, Spawn
from virtsupd.core.events import Asked, Verb
from virtsupd.core.names import Name

T, DB = Name("t"), Name("db")
STEP = 100
SPECS = (service("db"), timer("t", str(STEP), requires=["db"], timeout=250.0))
seconds = st.integers(1, 350).map(float)
actions = st.one_of(
    st.tuples(st.just("wait"), seconds),
    st.tuples(st.just("end"), st.sampled_from([CLEAN, FAILED])),
    st.tuples(st.just("set"), st.integers(-500, 500).map(float)),
    st.tuples(st.just("ask"), st.sampled_from([*Verb])),
    st.tuples(st.just("hold"), seconds),
    st.tuples(st.just("db"), st.booleans()),
    st.tuples(st.just("die"), st.tuples(st.integers(0, 12), seconds, st.booleans())),
)
ASKED = {Verb.START, Verb.STOP, Verb.RESTART, Verb.TRIGGER, Verb.HOLD, Verb.RELEASE}
Action = tuple[str, object]


def act(host: PureHost, action: Action) -> PureHost:
    """Let one thing happen; return who is there afterwards."""
    match action:
        case "wait", float() as time:
            host.pass_time(time)
        case "end", status if T in host.processes:
            host.exits("t", CLEAN if status == CLEAN else FAILED)
        case "set", float() as ahead:
            host.set_clock(ahead)
        case "ask", Verb() as verb if verb in ASKED:
            host.ask(verb, "t")
        case "hold", float() as time:
            host.tickets += 1
            until = host.instant(time).wall
            host.post(Asked(host.tickets, Verb.HOLD, (T,), "tester", until=until))
        case "db", is_up:
            host.ask(Verb.START if is_up else Verb.STOP, "db")
        case "die", (int() as effects, float() as away, has_ended):
            return die(host, effects, away, has_ended=bool(has_ended))
        case _:
            pass
    return host


def die(host: PureHost, effects: int, away: float, *, has_ended: bool) -> PureHost:
    """Kill virtsupd in the middle of what the next firing leads to; the job may end meanwhile."""
    host.effects_left = effects
    host.pass_time(STEP)
    died = {"t": CLEAN} if has_ended and T in host.processes else {}
    earlier = list(host.effects)
    heir = host.successor(died=died, away=away)
    heir.effects[:0] = earlier
    return heir


@settings(deadline=None)
@given(st.lists(actions, max_size=25))
def test_no_firing_runs_two_jobs_and_no_two_jobs_run_at_a_time(schedule: list[Action]) -> None:
    host = PureHost.of(*SPECS)
    host.take()
    last = 0.0
    for action in schedule:
        host, settled = act(host, action), None
        if action == ("ask", Verb.TRIGGER):
            host.take()
        for effect in host.take(RememberFirings, Spawn):
            if isinstance(effect, RememberFirings) and effect.name == T:
                settled = effect.firings.seen
            elif isinstance(effect, Spawn) and effect.name == T and settled is not None:
                assert settled // STEP > last // STEP, "a firing of its own"
                last, settled = settled, None


@settings(deadline=None)
@given(st.lists(actions, max_size=25))
def test_a_timer_that_may_fire_does_so_in_the_end(schedule: list[Action]) -> None:
    host = PureHost.of(*SPECS)
    for action in schedule:
        host = act(host, action)
    host.effects_left = None
    if T in host.processes:
        host.exits("t", CLEAN)
    host.ask(Verb.START, "db", "t")
    host.ask(Verb.RELEASE, "t")
    host.take()
    # What was settled before the clock was set back stays so.
    host.pass_time(500.0 * len(schedule) + 2 * STEP)
    assert [effect for effect in host.take(Spawn) if getattr(effect, "name", "") == T]
