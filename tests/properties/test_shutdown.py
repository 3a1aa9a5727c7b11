"""A shutdown ends, whatever guests, their hosts and services do, and whenever virtsupd dies in it."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.pure_host import FAILED, PureHost, service

from virtsupd.core.events import GuestEnded, GuestsFound, Verb
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd, RunningGuest, ShutdownPolicy

HOSTS, OTHERS = ("virt", "xen"), ("db", "vm", "web")
GUESTS = st.sets(st.sampled_from("abc"), max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("found"), st.sampled_from(HOSTS), GUESTS),
        st.tuples(st.just("unknown"), st.sampled_from(HOSTS), st.just("why")),
        st.tuples(st.just("ended"), st.sampled_from(HOSTS), st.sampled_from("abc")),
        st.tuples(st.just("refused"), st.sampled_from(HOSTS), st.sampled_from("abc")),
        st.tuples(st.just("time"), st.just(""), st.sampled_from([0.5, 2.0, 11.0, 61.0])),
        st.tuples(st.just("crash"), st.sampled_from((*HOSTS, *OTHERS)), st.just("")),
        st.tuples(st.just("successor"), st.just(""), st.sampled_from([0.0, 3.0, 500.0])),
    ),
    max_size=25,
)
POLICIES = st.builds(
    ShutdownPolicy,
    timeout_seconds=st.sampled_from([5.0, 100.0]),
    parallel=st.integers(1, 3),
    guest_end=st.sampled_from(GuestEnd),
    guest_timeout_seconds=st.sampled_from([1.0, 50.0, 1000.0]),
    overdue=st.sampled_from(["kill", "leave"]),
)


def step(host: PureHost, kind: str, name: str, what: Any) -> PureHost:
    match kind:
        case "found":
            host.post(GuestsFound(Name(name), tuple(map(RunningGuest, sorted(what)))))
        case "unknown":
            host.post(GuestsFound(Name(name), why=what))
        case "ended" | "refused":
            why = None if kind == "ended" else "no"
            for end in GuestEnd:
                host.post(GuestEnded(Name(name), what, end, why))
        case "time":
            host.pass_time(what)
        case "crash" if Name(name) in host.processes and not host.processes[Name(name)].is_done:
            host.exits(name, FAILED)
        case "successor" if not host.is_finished:
            return host.successor(away=what)
    return host


def most_at_a_time(host: PureHost, policy: ShutdownPolicy) -> None:
    view = host.engine.shutdown_view()
    assert view is not None
    polite = [w for w in view.waits if w.is_guest and w.did not in ("kill", "SIGKILL")]
    assert len(polite) <= policy.parallel


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, policy=POLICIES, stubborn=st.sets(st.sampled_from((*HOSTS, *OTHERS))))
def test_a_shutdown_ends_by_its_deadline(
    steps: list[tuple[str, str, Any]], policy: ShutdownPolicy, stubborn: set[str]
) -> None:
    host = PureHost.of(
        service("db"),
        service("virt", requires=["db"], hosts_guests=True),
        service("xen", hosts_guests=True),
        service("vm", is_guest=True, requires=["virt"]),
        service("web", requires=["vm"]),
        policy=policy,
    )
    host.stubborn |= stubborn
    host.ask(Verb.SHUTDOWN)
    for kind, name, what in steps:
        host = step(host, kind, name, what)
        most_at_a_time(host, policy)
        host.effects.clear()
    # The last successor may have begun the deadline anew; then come thirty seconds of KILL for guests and ten for services.
    host.pass_time(policy.timeout_seconds + 41)
    assert host.is_finished
    assert not host.processes
    assert not host.timers
