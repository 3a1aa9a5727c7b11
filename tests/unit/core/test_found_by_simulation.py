"""What the simulator found in the engine, each as the few events that showed it."""

from collections.abc import Iterable

from tests.support.pure_host import FAILED, NOTIFY, PureHost, service, target

from virtsupd.core.effects import Adopt, Effect, Result
from virtsupd.core.engine import Engine
from virtsupd.core.events import Adopted, Booted, Event, Exited, Instant, NeverMade
from virtsupd.core.exits import ExitStatus
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State
from virtsupd.core.spec import CleanUp, ExitProbe, PidFileProbe, Readiness

JOB = service("job", one_shot=True, ready=Readiness(ExitProbe()))
DAEMON = service("daemon", respawn=None, ready=Readiness(PidFileProbe("/run/pid")))
NAME = Name("job")
LATER = Instant(2000.0, 2000.0)


def test_a_start_that_needs_what_cannot_be_killed_is_answered() -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"], autostart=False))
    host.unkillable.add("db")
    host.stop("db")
    host.pass_time(100.0)
    answer = host.answers[host.start("web")]
    assert [report.result for report in answer.reports] == [Result.FAILED]
    assert answer.reports[0].message.startswith("web needs db: its processes are still there")


def test_a_start_beside_a_rival_that_cannot_be_killed_is_answered() -> None:
    rival = service("db")
    host = PureHost.of(rival, service("web", conflicts=["db"], autostart=False))
    host.unkillable.add("db")
    ticket = host.start("web")
    host.pass_time(100.0)
    assert host.result(ticket) == "waiting"


def done() -> Engine:
    """Return the engine of a successor that finds a one-shot done."""
    host = PureHost.of(JOB)
    host.exits("job", ExitStatus(0))
    service = host.engine.service(NAME)
    assert service.is_done
    return Engine(ServiceGraph.build([JOB]), {}, {NAME: service})


def adopts(effects: Iterable[Effect]) -> list[Name]:
    return [effect.name for effect in effects if isinstance(effect, Adopt)]


def test_what_a_one_shot_left_behind_is_taken_over() -> None:
    """Else a stop of it would end nothing, and its next start be refused for what is left."""
    assert adopts(done().advance(Booted(), LATER)) == [NAME]


def test_a_one_shot_stays_done_whatever_is_found_of_it() -> None:
    generation = done().service(NAME).generation
    found: list[list[Event]] = [
        [Adopted(NAME, generation, None), Exited(NAME, generation, ExitStatus())],
        [Adopted(NAME, generation, 4711), Exited(NAME, generation, FAILED)],
        [NeverMade(NAME, generation)],
    ]
    for events in found:
        engine = done()
        for event in (Booted(), *events):
            engine.advance(event, LATER)
        assert (engine.service(NAME).state, engine.service(NAME).is_done) == (State.RUNNING, True)


def test_what_cannot_be_killed_holds_up_nobody_who_only_comes_after_it() -> None:
    host = PureHost.of(service("db"), service("web", after=["db"], autostart=False))
    host.unkillable.add("db")
    host.restart("db")
    host.pass_time(100.0)
    assert host.result(host.start("web")) == "done"


def test_a_start_into_the_background_of_which_nothing_is_left_has_failed() -> None:
    """Else it would be starting for ever: no deadline holds for what was not found."""
    host = PureHost.of(DAEMON)
    heir = host.successor(lost=["daemon"])
    assert heir.reason("daemon").startswith("failed: its first process has ended")


def test_a_start_into_the_background_ends_if_no_pid_file_will_name_it_any_more() -> None:
    heir = PureHost.of(DAEMON).successor(service("daemon", respawn=None))
    assert heir.reason("daemon").startswith("failed: its definition changed")


def test_nobody_starts_upon_what_is_asked_again_in_the_same_moment() -> None:
    """A target that comes up asks anew what was not needed; what needs that has to wait for it."""
    idle = service("idle", not_needed_exit=frozenset({77}))
    host = PureHost.of(idle)
    host.exits("idle", ExitStatus(77))
    later = service("idle", requires=["net"], ready=NOTIFY, not_needed_exit=frozenset({77}))
    heir = host.successor(target("net"), later, service("web", requires=["idle"]))
    assert heir.did() == ["spawn idle"]


def test_a_guest_that_forked_and_never_said_as_what_is_not_waited_for_for_ever() -> None:
    readiness = Readiness(PidFileProbe("/run/vm.pid"), timeout_seconds=5)
    host = PureHost.of(service("vm", is_guest=True, ready=readiness, respawn=None))
    host.pass_time(5)
    assert host.did()[-1] == "terminate vm"
    assert host.reason("vm").startswith("failed: not ready within 5 s")


def test_what_is_not_needed_satisfies_others_once_it_is_cleaned_up() -> None:
    quits = service("quits", clean_up=CleanUp(("away",)), not_needed_exit=frozenset({77}))
    bound = service("bound", binds_to=["quits"])
    last = (service(name, binds_to=["bound"]) for name in ("slow", "web"))
    host = PureHost.of(quits, bound, *last)
    host.stubborn.add("slow")
    host.unkillable.add("quits")
    host.held_clean_ups = True
    host.exits("quits", ExitStatus(code=77))
    host.did()
    host.lets_go("quits")
    assert host.did() == ["clean up quits"]
    assert host.state("web") == "stopped"
