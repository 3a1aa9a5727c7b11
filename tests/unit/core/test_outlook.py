"""What happens next, for each thing that a service can wait for."""

import pytest
from tests.support.pure_host import CLEAN, FAILED, NOTIFY, PureHost, domain, service, target, timer

from virtsupd.core.domain import DomainSpec, GuestNote
from virtsupd.core.engine import Remembered
from virtsupd.core.events import Asked, Told, Verb
from virtsupd.core.exits import ExitStatus
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.machine import Rung, RungSpec
from virtsupd.core.names import Name
from virtsupd.core.outlook import Next, NextKind, joined, what_next
from virtsupd.core.service import View
from virtsupd.core.spec import (
    ExitProbe,
    Health,
    MachineProbe,
    PathProbe,
    Readiness,
    Respawn,
    Stop,
    TcpProbe,
)
from virtsupd.core.state import HostState

NOT_NEEDED = ExitStatus(77)


def coming(host: PureHost, name: str) -> Next:
    return what_next(host.engine._host, host.engine.service(Name(name)))


def said(host: PureHost, name: str) -> str:
    """Say what comes next as a client would, times as seconds from now."""
    found = coming(host, name)
    at = f" at +{found.at - host.now:g}" if found.at is not None else ""
    then = f"; then {found.then}" if found.then else ""
    command = f": {' '.join(found.command)}" if found.command else ""
    return f"{found.kind}: {found.text}{at}{then}{command}"


# Stopped


def test_what_somebody_stopped_waits_for_somebody() -> None:
    host = PureHost.of(service("db"), service("off", autostart=False))
    host.stop("db")
    for name in ("db", "off"):
        text = "stays down until somebody starts it, or what needs it"
        assert said(host, name) == f"needs-command: {text}: start {name}"


def test_what_is_disabled_says_what_enabling_it_does() -> None:
    host = PureHost.of(service("db"), service("off", autostart=False))
    host.ask(Verb.DISABLE, "db", "off")
    host.exits("db")
    assert said(host, "db") == "needs-command: stays down until it is enabled: enable db"
    text = "stays down until it is enabled and started"
    assert said(host, "off") == f"needs-command: {text}: enable off"


def test_what_failed_or_finished_waits_for_somebody() -> None:
    host = PureHost.of(service("db", respawn=None), service("job", respawn=None))
    host.exits("db", FAILED)
    host.exits("job", CLEAN)
    for name in ("db", "job"):
        assert coming(host, name).kind is NextKind.NEEDS_COMMAND
        assert coming(host, name).command == ("start", name)


def test_what_is_not_needed_says_when_it_is_asked_again() -> None:
    host = PureHost.of(
        service("db"),
        service("web", requires=["db"], not_needed_exit=frozenset({77})),
        service("lone", not_needed_exit=frozenset({77})),
    )
    host.exits("web", NOT_NEEDED)
    host.exits("lone", NOT_NEEDED)
    assert said(host, "web") == (
        "stays: is asked again at a start by command, when db starts again, "
        "or at a reload of the configuration: start web"
    )
    assert ", when" not in said(host, "lone")


def test_a_pause_ends_at_its_time() -> None:
    host = PureHost.of(service("db", respawn=Respawn(delay_seconds=10)))
    host.exits("db")
    host.pass_time(4)
    assert said(host, "db") == "starts: starts again by itself at +6"


def test_what_waits_starts_when_all_it_needs_run() -> None:
    host = PureHost.of(
        service("a", ready=NOTIFY),
        service("b", ready=NOTIFY),
        service("web", requires=["a", "b"]),
        service("one", requires=["a"]),
    )
    assert said(host, "web") == "starts: starts when a and b run"
    assert said(host, "one") == "starts: starts when a runs"
    assert coming(host, "web").names == ("a", "b")


def test_what_comes_later_does_not_wait_for_ever() -> None:
    host = PureHost.of(service("a", ready=NOTIFY), service("web", after=["a"]))
    assert said(host, "web") == "starts: starts when a runs or cannot"


def test_a_rival_that_stays_takes_a_command_and_one_that_goes_does_not() -> None:
    old, new = service("old"), service("new", conflicts=["old"], autostart=False)
    host = PureHost.of(old, new)
    host.stubborn.add("old")
    host.start("new")
    assert said(host, "new") == "starts: starts when old has stopped"
    kept = {"new": Remembered(wanted=True, enabled=True)}
    host = PureHost.of(old, new, remembered=kept)
    assert said(host, "old") == (
        "starts: starts when new has stopped; "
        "a start by command stops what is in its way: start old"
    )


def test_after_a_shutdown_all_stays_down() -> None:
    host = PureHost.of(service("db"))
    host.ask(Verb.SHUTDOWN)
    assert said(host, "db") == "stays: stays down"


def test_what_nothing_holds_starts() -> None:
    """Asked before the loop has run, which the engine never does."""
    spec = service("db")
    host = HostState(ServiceGraph.build([spec]), {})
    host.add(spec).wanted = True
    assert what_next(host, host.services[Name("db")]).text == "starts now"
    host.services[Name("db")].view = View(must_stop=True)
    assert what_next(host, host.services[Name("db")]).text == "stops now"


# Starting


def test_a_start_has_its_deadline() -> None:
    host = PureHost.of(
        service("db", ready=Readiness(TcpProbe(5), 30)),
        service("job", one_shot=True, ready=Readiness(ExitProbe(), 5)),
        service("slow", ready=Readiness(TcpProbe(5), 0)),
        service("plain", autostart=False),
    )
    host.held.add("plain")
    host.start("plain")
    host.pass_time(2)
    assert (
        said(host, "db") == "becomes-ready: runs when it is ready, else its start has failed at +28"
    )
    assert said(host, "job") == (
        "becomes-ready: runs when its process has ended well, else its start has failed at +3"
    )
    assert said(host, "slow") == "becomes-ready: runs when it is ready; nothing limits the wait"
    assert said(host, "plain") == "becomes-ready: runs as soon as its process is there"


def test_a_machine_is_limited_rung_by_rung() -> None:
    rungs = MachineProbe((RungSpec(Rung.MONITOR, 30), RungSpec(Rung.SSH, 60)))
    host = PureHost.of(service("hurd", ready=Readiness(rungs, timeout_seconds=0)))
    assert said(host, "hurd") == (
        "becomes-ready: runs when it is ready; each rung has its own limit"
    )


def test_what_was_taken_over_while_it_started_is_not_failed_for_a_lost_message() -> None:
    host = PureHost.of(service("db", ready=NOTIFY))
    host.engine.service(Name("db")).adopted_at = 1.0
    assert coming(host, "db").text == "runs when it is ready, and is taken for ready"


# Running


def test_what_runs_runs_on() -> None:
    job = service("job", one_shot=True, ready=Readiness(ExitProbe()))
    host = PureHost.of(service("db"), target("all", requires=["db"]), job)
    assert said(host, "db") == "stays: runs on"
    assert said(host, "all") == "stays: holds"
    host.exits("job", CLEAN)
    assert said(host, "job") == "stays: counts as running until this host is booted again"


def test_what_is_not_well_says_when_it_is_again() -> None:
    check = Health(PathProbe("/x"), on_failure="degrade")
    host = PureHost.of(
        service("db", respawn=None), service("web", requires=["db"]), service("ill", health=check)
    )
    host.exits("db")
    host.health("ill", "404")
    assert said(host, "web") == "stays: runs on, and is whole again when db runs"
    assert said(host, "ill") == "stays: runs on; its health check is repeated"
    host.health("ill", None)
    host.engine.service(Name("ill")).output_trouble = "no space"
    assert said(host, "ill") == "stays: runs on; its log is tried again"


def test_what_is_to_stop_names_who_goes_first() -> None:
    host = PureHost.of(
        service("db"), service("web", requires=["db"]), service("late", after=["db"])
    )
    host.stubborn |= {"web", "late"}
    host.stop("db", "late")
    assert said(host, "db") == "stops: stops when web and late are gone; then stays down"
    assert coming(host, "db").names == ("web", "late")
    host.lets_go("late")
    assert said(host, "db") == "stops: stops when web is gone; then stays down"


def test_in_a_shutdown_services_wait_for_guests() -> None:
    host = PureHost.of(service("db"), service("vm", is_guest=True))
    host.stubborn.add("vm")
    host.ask(Verb.SHUTDOWN)
    assert said(host, "db") == "stops: stops after the end of guest vm; then stays down"


# Stopping


def test_a_stop_says_when_it_goes_on_and_when_it_is_given_up() -> None:
    host = PureHost.of(service("db", stop=Stop("SIGINT", 20)))
    host.unkillable.add("db")
    host.stop("db")
    host.pass_time(5)
    assert said(host, "db") == (
        "ends: is ending on SIGINT; what is left gets SIGKILL at +15; then stays down"
    )
    host.pass_time(15)
    assert said(host, "db") == (
        "ends: is ending on SIGKILL; what is left counts as stuck at +10; then stays down"
    )
    host.pass_time(10)
    assert said(host, "db") == (
        "ends: nothing more can be done until the kernel lets its processes go; then stays down"
    )


@pytest.mark.parametrize(
    ("fields", "then"),
    [
        ({}, "starts again by itself, if it has not done so too often"),
        ({"respawn": None}, "has failed"),
        ({"not_needed_exit": frozenset({1})}, "is not needed"),
        ({"transient": True}, "is forgotten"),
    ],
)
def test_after_a_death_it_depends(fields: dict[str, object], then: str) -> None:
    host = PureHost.of(service("db", **fields))
    host.unkillable.add("db")
    host.exits("db", FAILED)
    assert coming(host, "db").then == then


def test_after_a_stop_what_is_wanted_comes_back() -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"]))
    host.stubborn |= {"web", "db"}
    host.restart("db")
    assert coming(host, "web").then == "starts again when db runs"
    host.ask(Verb.DISABLE, "web")
    assert coming(host, "web").then == "stays down until it is enabled"
    host.lets_go("web")
    assert coming(host, "db").then == "starts again"


def test_what_left_the_configuration_is_forgotten() -> None:
    host = PureHost.of(service("db"), service("web"))
    host.stubborn.add("db")
    host.reload(service("web"))
    assert coming(host, "db").then == "is forgotten"


def test_a_timer_fires_at_its_time() -> None:
    host = PureHost.of(timer("t"), timer("never", "0"))
    assert said(host, "t") == "fires: fires next at +100"
    text = "fires no more, and runs its job when somebody triggers it"
    assert said(host, "never") == f"needs-command: {text}: trigger never"


def test_a_job_runs_as_long_as_it_may() -> None:
    host = PureHost.of(timer("t", timeout=10.0), timer("u"))
    host.stubborn.add("t")
    host.pass_time(100)
    text = (
        "fires: runs its job, which is stopped if it does not end at +10; then waits to fire again"
    )
    assert said(host, "t") == text
    assert said(host, "u") == "fires: runs its job; then waits to fire again"
    host.pass_time(10)
    assert said(host, "t") == "fires: runs its job; then waits to fire again"


def test_a_timer_that_is_held_waits_for_somebody_or_its_time() -> None:
    host = PureHost.of(timer("t"), timer("u"))
    host.ask(Verb.HOLD, "t")
    host.post(Asked(7, Verb.HOLD, (Name("u"),), "tester", until=host.now + 250))
    text = "fires again when somebody releases it: release t"
    assert said(host, "t") == f"needs-command: {text}"
    assert said(host, "u") == "fires: fires next at +300: release u"


def test_a_firing_that_was_missed_waits_for_what_the_timer_needs() -> None:
    host = PureHost.of(service("db"), timer("t", requires=["db"]))
    host.fails_to_spawn("db", permanent=True)
    host.exits("db")
    assert said(host, "t") == "stays: runs on, and is whole again when db runs"
    host.pass_time(100)
    assert said(host, "t") == "stays: runs the job that was missed when db runs"


def test_names_are_listed_as_one_reads_them() -> None:
    assert [joined("abc"[:count]) for count in range(4)] == ["", "a", "a and b", "a, b and c"]


@pytest.mark.parametrize("note", GuestNote)
def test_what_is_remarkable_about_a_guest_says_what_comes_next(note: GuestNote) -> None:
    host = PureHost.of(domain("web", domain=DomainSpec("a b")))
    host.post(Told(Name("web"), 1, "status", str(note), note))
    text = what_next(host.engine._host, host.service("web")).text
    assert text != "runs on"
    assert ("virsh" in text) == ("'a b'" in text)
