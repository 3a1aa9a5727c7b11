"""Guests of libvirt as services: what the engine does about them, and what it leaves alone."""

from typing import Any

import pytest
from tests.support.pure_host import (
    CRASHED,
    FAILED,
    NOTIFY,
    POWERED_OFF,
    PureHost,
    domain,
    service,
    target,
)

from virtsupd.core.domain import DomainSpec, GuestNote, GuestStop
from virtsupd.core.effects import (
    AdoptDomain,
    AwaitReady,
    EndDomain,
    StartDomain,
    Terminate,
    WatchHealth,
)
from virtsupd.core.events import (
    Appeared,
    BecameReady,
    Booted,
    Defined,
    Exited,
    Gone,
    GuestsFound,
    Reached,
    Spawned,
    SpawnFailed,
    Told,
    Verb,
)
from virtsupd.core.exits import ExitStatus
from virtsupd.core.names import Name
from virtsupd.core.outlook import what_next
from virtsupd.core.shutdown_policy import ShutdownPolicy
from virtsupd.core.spec import (
    AgentProbe,
    Health,
    Readiness,
    Respawn,
    ServiceSpec,
    Stop,
    StopMode,
    TcpProbe,
)

WEB = Name("web")
AGENT = Readiness(AgentProbe(), 300.0)
LIBVIRT = service("libvirtd", hosts_guests=True)


def beside_libvirt(name: str, **fields: Any) -> ServiceSpec:
    """A guest as `[[guest]]` makes it."""
    return domain(name, **{"wants": ["libvirtd"], "after": ["libvirtd"]} | fields)


def host_of(*specs: ServiceSpec, **policy: Any) -> PureHost:
    host = PureHost.of(*specs, policy=ShutdownPolicy(**policy))
    host.did()
    return host


def ends(host: PureHost, name: str, status: ExitStatus) -> None:
    """Let it end by itself; the engine then makes sure that nothing is left of it."""
    host.exits(name, status)
    (end,) = host.take(EndDomain, Terminate)
    assert isinstance(end, EndDomain | Terminate)
    assert end.name == name


def appear(host: PureHost, name: str = "web", *, is_new: bool = False) -> None:
    host.post(Appeared(Name(name), is_new))


def test_what_is_not_said_of_a_domain_is_of_this_host() -> None:
    assert DomainSpec("web1") == DomainSpec("web1", "qemu:///system")
    assert {how.value for how in GuestStop} == {
        "shutdown",
        "agent",
        "acpi",
        "save",
        "destroy",
        "leave",
    }


# Starting


def test_a_guest_is_started_through_libvirt_and_runs_without_a_process_of_ours() -> None:
    host = PureHost.of(domain("web"))
    assert host.take(StartDomain) == [
        StartDomain(WEB, 1, DomainSpec("web-domain"), Readiness()),
    ]
    assert (host.state("web"), host.service("web").pid) == ("running", None)


def test_guests_start_one_after_the_other_when_each_is_ready() -> None:
    host = PureHost.of(domain("db", ready=AGENT), domain("web", requires=["db"]))
    assert host.did() == ["start guest db"]
    host.ready("db")
    assert host.did() == ["start guest web"]


def test_what_goes_along_is_started_first_and_may_be_missing() -> None:
    host = PureHost.of(service("libvirtd", ready=NOTIFY), beside_libvirt("web"))
    assert host.did() == ["spawn libvirtd"]
    host.exits("libvirtd")
    assert (host.did(), host.state("web")) == (["terminate libvirtd", "start guest web"], "running")


def test_a_guest_whose_process_nobody_knows_is_looked_after_all_the_same() -> None:
    health = Health(AgentProbe(), on_failure="degrade")
    host = PureHost.of(domain("web", health=health))
    assert host.take(WatchHealth) == [WatchHealth(WEB, 1, health)]
    host.health("web", "no answer")
    assert (host.state("web"), host.reason("web")) == (
        "running",
        "degraded: health check: no answer",
    )


def test_an_unhealthy_guest_is_ended_as_its_policy_says_and_started_again() -> None:
    health = Health(AgentProbe(), on_failure="restart")
    host = host_of(domain("web", health=health))
    host.health("web", "no answer")
    host.pass_time(1)
    assert host.did() == ["shutdown guest web", "start guest web", "watch web"]


# Its own end


@pytest.mark.parametrize("ready", [Readiness(), AGENT], ids=["running", "starting"])
def test_a_guest_that_powers_itself_off_has_finished(ready: Readiness) -> None:
    host = host_of(domain("web", ready=ready))
    ends(host, "web", POWERED_OFF)
    host.pass_time(10_000)
    assert (host.state("web"), host.did()) == ("stopped", [])
    assert host.reason("web") == "finished: the guest powered off"
    host.start("web")
    assert host.did()[0] == "start guest web"


def test_a_guest_that_has_finished_starts_again_with_the_next_boot() -> None:
    host = host_of(domain("web"))
    host.exits("web", POWERED_OFF)
    again = PureHost.of(*host.specs, remembered={str(n): r for n, r in host.remembered.items()})
    assert again.did() == ["start guest web"]


def test_a_guest_that_has_finished_stays_down_for_a_successor() -> None:
    host = host_of(domain("web"))
    host.exits("web", POWERED_OFF)
    heir = host.successor()
    assert (heir.state("web"), heir.did()) == ("stopped", [])


def test_what_requires_a_guest_that_has_finished_runs_on() -> None:
    host = host_of(domain("db"), domain("web", requires=["db"]))
    ends(host, "db", POWERED_OFF)
    assert (host.state("web"), host.did()) == ("running", [])


@pytest.mark.parametrize("ready", [Readiness(), AGENT], ids=["running", "starting"])
def test_a_guest_that_crashes_is_started_again(ready: Readiness) -> None:
    host = host_of(domain("web", ready=ready))
    ends(host, "web", CRASHED)
    assert (host.state("web"), host.did()) == ("stopped", [])
    host.pass_time(1)
    assert host.did() == ["start guest web"]


def test_a_guest_that_crashes_too_often_has_failed() -> None:
    host = host_of(domain("web"))
    for _ in range(6):
        ends(host, "web", CRASHED)
        host.pass_time(20)
    assert host.state("web") == "stopped"
    assert host.reason("web").startswith("failed")
    assert "crashed" in host.reason("web")


def test_a_process_may_rest_when_it_ended_well_and_not_otherwise() -> None:
    only_failures = domain("x").respawn
    host = host_of(service("job", respawn=only_failures), service("slow", ready=NOTIFY))
    ends(host, "job", FAILED)
    host.pass_time(1)
    assert host.did() == ["spawn job"]
    host.exits("job", POWERED_OFF)
    host.pass_time(100)
    assert host.reason("job").startswith("finished")


def test_a_process_that_ends_well_before_it_is_ready_has_failed_to_start() -> None:
    host = host_of(service("job", ready=NOTIFY, respawn=domain("x").respawn))
    ends(host, "job", POWERED_OFF)
    host.pass_time(1)
    assert host.did() == ["spawn job"]


# Readiness that takes long


def next_of(host: PureHost) -> str:
    return what_next(host.engine._host, host.service("web")).text


def late(*specs: ServiceSpec) -> PureHost:
    host = host_of(*(specs or (domain("web", ready=AGENT),)))
    host.pass_time(300)
    return host


def test_a_guest_that_is_slow_to_become_ready_is_not_ended_for_it() -> None:
    host = late()
    assert (host.state("web"), host.did()) == ("starting", [])
    assert host.tells("web")[-1] == "late"
    host.pass_time(100_000)
    assert host.did() == []
    host.post(BecameReady(WEB, 1))
    assert host.state("web") == "running"
    assert not host.service("web").is_late


def test_a_start_of_a_slow_guest_is_answered_and_the_guest_waited_for() -> None:
    host = PureHost.of(domain("web", ready=AGENT, autostart=False))
    ticket = host.start("web")
    host.post(Told(WEB, 1, "waiting", "agent: no answer"))
    host.pass_time(299)
    assert ticket not in host.answers
    host.pass_time(1)
    (report,) = host.reports(ticket)
    assert (report.result, report.message) == (
        "failed",
        "web: not ready within 300 s: agent: no answer; the guest runs on, and is waited for",
    )
    assert (
        host.reason("web")
        == "waiting: waits for more than 300 s until ready (agent): agent: no answer"
    )
    assert host.result(host.start("web")) == "failed"


def test_who_waits_for_a_slow_guest_goes_on_waiting() -> None:
    host = late()
    ticket = host.ask(Verb.WAIT, "web")
    assert ticket not in host.answers
    host.post(BecameReady(WEB, 1))
    assert host.result(ticket) == "done"


def test_a_start_that_needs_a_slow_guest_says_so_and_comes_true_when_it_is_ready() -> None:
    host = late(domain("db", ready=AGENT), domain("web", requires=["db"], autostart=False))
    ticket = host.start("web")
    (report,) = host.reports(ticket)
    assert report.message == (
        "web needs db: not ready within 300 s; the guest runs on, and is waited for"
    )
    host.ready("db")
    assert host.did()[-1] == "start guest web"


def test_a_slow_guest_can_be_stopped() -> None:
    host = late()
    assert host.result(host.stop("web")) == "done"
    assert host.did() == ["shutdown guest web", "answer web done"]


def starting(**ready: Any) -> tuple[PureHost, int]:
    """A guest that `start` waits for, 100 s after its beginning, with another `ready` since."""
    host = PureHost.of(domain("web", ready=AGENT, autostart=False))
    ticket = host.start("web")
    host.pass_time(100)
    host.did()
    assert host.reload(domain("web", autostart=False, **ready)) == ()
    return host, ticket


def test_a_guest_that_starts_is_waited_for_as_a_reload_says() -> None:
    host, ticket = starting(ready=Readiness(TcpProbe(22, "192.0.2.1"), 150.0))
    assert host.did() == ["await web"]
    assert host.reason("web") == "waiting: waits until ready (tcp)"
    host.pass_time(49)
    assert ticket not in host.answers
    host.pass_time(1)
    (report,) = host.reports(ticket)
    assert "not ready within 150 s" in report.message
    assert not host.service("web").has_replacement


def test_a_guest_that_is_late_is_late_no_more_with_a_longer_time() -> None:
    host = late()
    host.reload(domain("web", ready=Readiness(AGENT.probe, 1000.0)))
    assert not host.service("web").is_late
    host.pass_time(700)
    assert host.service("web").is_late


def test_a_guest_that_starts_runs_at_once_when_nothing_has_to_be_waited_for_any_more() -> None:
    host, ticket = starting()
    (wait,) = host.take(AwaitReady)
    assert isinstance(wait, AwaitReady)
    assert wait.ready.probe is None
    host.post(BecameReady(WEB, wait.generation))
    assert (host.state("web"), host.result(ticket)) == ("running", "done")


def test_a_guest_that_libvirt_has_not_begun_to_start_runs_as_soon_as_it_has() -> None:
    host = PureHost.of(domain("web", ready=AGENT, autostart=False))
    host.held.add("web")
    ticket = host.start("web")
    host.reload(domain("web", autostart=False))
    host.post(Spawned(WEB, 1, None))
    assert (host.state("web"), host.result(ticket)) == ("running", "done")


def test_a_start_ends_though_the_service_is_another_guest_by_now() -> None:
    host, ticket = starting(domain=DomainSpec("other"))
    host.pass_time(200)
    (report,) = host.reports(ticket)
    assert report.message == "web: not ready in time; the guest runs on, and is waited for"


def test_what_makes_a_running_guest_ready_is_no_reason_to_start_it_anew() -> None:
    host = host_of(domain("web", ready=AGENT))
    host.ready("web")
    host.did()
    host.reload(domain("web"))
    assert (host.did(), host.service("web").has_replacement) == ([], False)
    host.reload(domain("web", domain=DomainSpec("other")))
    assert host.service("web").has_replacement


def test_a_guest_is_late_when_it_would_have_been_under_the_virtsupd_that_died() -> None:
    host = host_of(domain("web", ready=AGENT))
    host.pass_time(200)
    heir = host.successor(away=50)
    ticket = heir.start("web")
    heir.pass_time(49)
    assert ticket not in heir.answers
    heir.pass_time(1)
    assert heir.result(ticket) == "failed"
    later = heir.successor(away=100)
    later.pass_time(0)
    assert later.result(later.start("web")) == "failed"


# What libvirt does not know


def unknown_web(*specs: ServiceSpec) -> PureHost:
    """Guests that are wanted, one of which failed since libvirt does not know it."""
    host = PureHost.of(*specs)
    host.held.add("web")
    host.start(*(spec.name for spec in specs))
    failed = SpawnFailed(WEB, host.service("web").generation, "libvirt", "unknown", True)
    host.post(failed)
    host.held.clear()
    host.did()
    return host


def test_a_guest_starts_when_libvirt_comes_to_know_it_and_so_does_what_needs_it() -> None:
    host = unknown_web(
        domain("web", autostart=False), domain("db", requires=["web"], autostart=False)
    )
    assert host.reason("web") == "failed: libvirt: unknown"
    assert next_of(host) == "starts when libvirt has its domain (virsh define)"
    heir = host.successor()
    heir.did()
    heir.post(Defined(WEB))
    assert heir.did() == ["start guest web", "start guest db"]
    heir.post(Defined(WEB))
    assert heir.did() == []


@pytest.mark.parametrize("verb", [Verb.STOP, Verb.DISABLE])
def test_what_is_to_stay_down_does_not_start_when_it_is_defined(verb: Verb) -> None:
    host = unknown_web(domain("web", autostart=False))
    host.ask(verb, "web")
    host.did()
    host.post(Defined(WEB))
    assert (host.did(), host.state("web")) == ([], "stopped")


def test_a_guest_that_failed_for_another_reason_is_not_started_for_its_definition() -> None:
    host = host_of(domain("web"))
    while not host.reason("web").startswith("failed"):
        host.exits("web", CRASHED)
        host.pass_time(20)
    host.did()
    host.post(Defined(WEB))
    assert host.did() == []
    host.post(Defined(Name("nobody")))
    assert host.did() == []


# What somebody else started


@pytest.mark.parametrize("how", ["unwanted", "disabled", "finished", "failed"])
def test_a_guest_that_somebody_started_is_wanted_and_taken_over(how: str) -> None:
    host = host_of(domain("web", autostart=how != "unwanted"))
    if how == "disabled":
        host.stop("web")
        host.ask(Verb.DISABLE, "web")
    elif how == "finished":
        host.exits("web", POWERED_OFF)
    elif how == "failed":
        while not host.reason("web").startswith("failed"):
            host.exits("web", CRASHED)
            host.pass_time(20)
    assert host.state("web") == "stopped"
    host.did()
    appear(host)
    assert host.did() == ["start guest web"]
    found = host.engine.snapshot(WEB)
    assert (found.state, found.wanted) == ("running", True)
    if how in ("unwanted", "disabled"):
        assert found.wanted_by == "libvirt"
        assert host.remembered[WEB].wanted
    if how != "disabled":
        ends(host, "web", CRASHED)
        host.pass_time(1)
        assert host.did() == ["start guest web"]


def test_a_guest_that_appears_needs_nothing_to_be_there() -> None:
    host = host_of(
        service("net", autostart=False), domain("web", requires=["net"], autostart=False)
    )
    graph = host.engine.graph
    assert graph.needs[WEB] == ("net",)
    effects = host.engine.advance(Appeared(WEB), host.instant())
    assert StartDomain in [type(effect) for effect in effects]
    assert host.state("web") == "starting"


def test_what_appears_while_it_runs_is_known() -> None:
    host = host_of(domain("web"))
    appear(host)
    assert host.did() == []


def test_nothing_appears_in_a_shutdown() -> None:
    host = host_of(domain("web", autostart=False), service("slow"))
    host.stubborn.add("slow")
    host.ask(Verb.SHUTDOWN)
    host.did()
    appear(host)
    assert (host.did(), host.state("web")) == ([], "stopped")


# Ending


def test_a_guest_ends_in_the_way_of_its_policy_and_is_destroyed_after_its_delay() -> None:
    host = host_of(domain("web", stop=Stop(delay_seconds=60, how=GuestStop.ACPI)))
    host.stubborn.add("web")
    ticket = host.stop("web")
    assert host.did() == ["acpi guest web"]
    host.pass_time(59)
    assert (host.did(), host.state("web")) == ([], "stopping")
    host.pass_time(1)
    assert host.did() == ["destroy guest web", f"answer web {host.result(ticket)}"]
    assert (host.result(ticket), host.state("web")) == ("done", "stopped")


def test_a_guest_that_libvirt_cannot_ask_has_all_its_time_when_it_can() -> None:
    host = host_of(domain("web", stop=Stop(delay_seconds=60, how=GuestStop.ACPI)))
    host.stubborn.add("web")
    host.loses_libvirt()
    ticket = host.stop("web")
    host.pass_time(100_000)
    assert (host.did(), host.state("web")) == (["acpi guest web"], "stopping")
    assert next_of(host) == "is ending (acpi) when libvirt can be asked"
    host.finds_libvirt()
    host.pass_time(59)
    assert host.did() == []
    assert next_of(host) == "is ending (acpi); what is left is destroyed"
    host.loses_libvirt()
    host.pass_time(1)
    assert host.did() == ["destroy guest web"]
    host.pass_time(100_000)
    assert (ticket in host.answers, next_of(host)) == (
        False,
        "is destroyed when libvirt can be asked",
    )
    host.finds_libvirt()
    assert host.result(ticket) == "done"


def test_a_guest_that_could_not_be_asked_after_all_is_not_destroyed_for_it() -> None:
    host = host_of(domain("web", stop=Stop(delay_seconds=60)))
    host.stubborn.add("web")
    host.stop("web")
    generation = host.service("web").generation
    host.pass_time(59)
    host.post(Reached(WEB, generation, is_reached=False))
    host.pass_time(100_000)
    assert host.did() == ["shutdown guest web"]
    host.post(*[Reached(WEB, generation, is_reached=True)] * 2)
    host.pass_time(60)
    assert host.did()[0] == "destroy guest web"


def test_a_guest_that_libvirt_does_not_destroy_is_said_to_be_stuck() -> None:
    host = host_of(domain("web"))
    host.unkillable.add("web")
    ticket = host.stop("web")
    host.pass_time(360)
    assert host.reports(ticket)[0].message == "web: libvirt has not destroyed it"
    assert host.reason("web") == "degraded: libvirt has not destroyed it"
    assert next_of(host) == "is destroyed as soon as libvirt does it"


@pytest.mark.parametrize("is_late", [False, True])
def test_a_shutdown_does_not_wait_for_libvirt_longer_than_for_all_else(*, is_late: bool) -> None:
    host = host_of(domain("web", stop=Stop(delay_seconds=60)), timeout_seconds=200)
    host.stubborn.add("web")
    if is_late:
        host.stop("web")
    host.loses_libvirt()
    host.pass_time(60)
    host.ask(Verb.SHUTDOWN)
    host.pass_time(199)
    assert not host.is_finished
    host.pass_time(61)
    assert host.is_finished


def test_a_guest_that_is_left_runs_on() -> None:
    host = host_of(domain("web", stop=Stop(how=GuestStop.LEAVE)))
    assert host.result(host.stop("web")) == "done"
    assert host.did() == ["leave guest web", "answer web done"]
    assert (host.state("web"), list(host.processes)) == ("stopped", ["web"])


def test_no_guest_ends_as_a_side_effect() -> None:
    host = host_of(LIBVIRT, beside_libvirt("web"), service("db"), domain("site", requires=["db"]))
    assert host.result(host.stop("libvirtd")) == "done"
    assert host.result(host.stop("db")) == "refused"
    assert host.did() == ["terminate libvirtd", "answer libvirtd done", "answer db refused"]
    assert host.state("site") == "running"


def test_a_stop_says_what_it_does_and_what_comes_then() -> None:
    host = host_of(domain("web"))
    host.unkillable.add("web")
    host.stop("web")
    assert next_of(host) == "is ending (shutdown); what is left is destroyed"
    host.pass_time(300)
    assert next_of(host) == "is destroyed; what is left counts as stuck"


# A successor


def test_a_successor_takes_over_the_domain_that_runs() -> None:
    host = host_of(domain("web"))
    heir = host.successor(domain("web", domain=DomainSpec("other")))
    assert heir.take(AdoptDomain, StartDomain, EndDomain) == [
        AdoptDomain(WEB, 1, DomainSpec("web-domain"), was_running=True)
    ]
    assert heir.service("web").has_replacement
    heir.restart("web")
    end, start = heir.take(EndDomain, StartDomain)
    assert end == EndDomain(WEB, 1, DomainSpec("web-domain"), GuestStop.SHUTDOWN)
    assert isinstance(start, StartDomain)
    assert start.domain == DomainSpec("other")


def test_a_successor_of_a_start_that_came_to_nothing_begins_again() -> None:
    host = host_of(domain("web", autostart=False))
    host.held.add("web")
    host.start("web")
    host.held.clear()
    heir = host.successor()
    assert heir.did() == ["adopt guest web", "start guest web"]
    assert heir.state("web") == "running"


def test_what_ended_while_nobody_was_there_has_finished() -> None:
    host = host_of(domain("web"))
    del host.processes[WEB]
    heir = host.successor()
    assert heir.did() == ["adopt guest web", "shutdown guest web"]
    assert heir.reason("web") == "finished: the guest powered off"


def test_a_successor_goes_on_with_a_stop() -> None:
    host = host_of(domain("web"))
    host.stubborn.add("web")
    host.stop("web")
    host.pass_time(100)
    heir = host.successor()
    assert heir.did() == ["adopt guest web", "shutdown guest web"]
    heir.pass_time(200)
    assert (heir.did(), heir.state("web")) == (["destroy guest web"], "stopped")


def test_a_successor_of_a_stop_that_waits_for_libvirt_waits_on() -> None:
    host = host_of(domain("web"))
    host.stubborn.add("web")
    host.loses_libvirt()
    host.stop("web")
    heir = host.successor(boot=False)
    heir.loses_libvirt()
    heir.post(Booted())
    heir.pass_time(100_000)
    assert heir.did() == ["adopt guest web", "shutdown guest web"]
    heir.finds_libvirt()
    heir.pass_time(300)
    assert (heir.did(), heir.state("web")) == (["destroy guest web"], "stopped")


def test_a_guest_that_left_the_configuration_while_nobody_was_there_is_let_go() -> None:
    host = host_of(domain("web"), service("x"))
    heir = host.successor(service("x"))
    assert "web" not in heir.engine.names()
    assert heir.did() == ["adopt x"]
    assert WEB in heir.processes


# Another configuration


def test_a_guest_that_leaves_the_configuration_runs_on() -> None:
    host = host_of(domain("web"), service("x"))
    assert host.reload(service("x")) == ()
    assert host.did() == ["forget web"]
    assert WEB in host.processes


def test_a_guest_that_became_a_process_ends_as_a_guest() -> None:
    """By its own policy: the delay of a process would cut its power."""
    host = host_of(domain("web", stop=Stop(delay_seconds=600, how=GuestStop.SAVE)))
    host.stubborn.add("web")
    host.reload(service("web", is_guest=True))
    assert host.service("web").has_replacement
    host.restart("web")
    host.pass_time(599)
    assert host.did() == ["save guest web"]
    host.pass_time(1)
    assert host.did()[:2] == ["destroy guest web", "spawn web"]


def test_a_process_that_became_a_guest_ends_as_a_process() -> None:
    stop = Stop("SIGINT", 7.0, StopMode.PROCESS)
    host = host_of(service("web", stop=stop))
    host.reload(domain("web"))
    host.restart("web")
    found = host.take(Terminate, StartDomain)
    assert found[0] == Terminate(WEB, 1, stop)
    assert isinstance(found[1], StartDomain)


# A shutdown


def test_guests_end_in_the_reverse_order_of_their_start_and_libvirt_after_them() -> None:
    host = host_of(LIBVIRT, beside_libvirt("db"), beside_libvirt("web", requires=["db"]))
    host.stubborn |= {"web", "db"}
    host.ask(Verb.SHUTDOWN)
    host.post(GuestsFound(Name("libvirtd"), ()))
    assert host.did() == ["find guests of libvirtd", "shutdown guest web"]
    host.lets_go("web")
    assert host.did() == ["shutdown guest db"]
    host.lets_go("db")
    assert host.did() == ["terminate libvirtd", "answer", "finish"]


def test_libvirt_comes_back_in_a_shutdown_as_long_as_a_guest_ends_through_it() -> None:
    host = host_of(LIBVIRT, beside_libvirt("web"))
    host.stubborn.add("web")
    host.ask(Verb.SHUTDOWN)
    host.post(GuestsFound(Name("libvirtd"), ()))
    host.did()
    ends(host, "libvirtd", FAILED)
    host.pass_time(1)
    assert host.did() == ["spawn libvirtd"]
    host.lets_go("web")
    assert host.did() == ["terminate libvirtd", "answer", "finish"]


def test_a_guest_that_is_left_does_not_hold_up_a_shutdown() -> None:
    host = host_of(LIBVIRT, beside_libvirt("web", stop=Stop(how=GuestStop.LEAVE)))
    host.ask(Verb.SHUTDOWN)
    host.post(GuestsFound(Name("libvirtd"), ()))
    assert host.did()[1:] == ["leave guest web", "terminate libvirtd", "answer", "finish"]


def test_a_shutdown_shows_how_a_guest_ends() -> None:
    host = host_of(domain("web", stop=Stop(delay_seconds=60, how=GuestStop.SAVE)), target("t"))
    host.unkillable.add("web")
    host.ask(Verb.SHUTDOWN)
    view = host.engine.shutdown_view()
    assert view is not None
    (waiting,) = view.waits
    assert (waiting.did, waiting.then, waiting.is_guest) == ("save", "kill", True)
    host.pass_time(60)
    view = host.engine.shutdown_view()
    assert view is not None
    (waiting,) = view.waits
    assert (waiting.did, waiting.then) == ("kill", "left")


def test_a_guest_that_was_left_stays_so_until_it_is_started_anew() -> None:
    host = host_of(domain("web", stop=Stop(how=GuestStop.LEAVE)))
    host.stop("web")
    host.did()
    assert host.state("web") == "stopped"
    appear(host)
    assert (host.did(), host.state("web")) == ([], "stopped")
    appear(host, is_new=True)
    assert host.did()[0] == "start guest web"


# Another host

MIGRATED = ExitStatus(code=0, words="was migrated to another host")


def migrated(*specs: ServiceSpec) -> PureHost:
    """A host from which the guest web was migrated."""
    host = host_of(*(specs or (domain("web"),)))
    leaves(host)
    assert host.did() == ["shutdown guest web"]
    assert host.state("web") == "stopped"
    return host


def leaves(host: PureHost) -> None:
    generation = host.service("web").generation
    del host.processes[WEB]
    host.post(Exited(WEB, generation, MIGRATED, is_elsewhere=True))


@pytest.mark.parametrize("respawn", [Respawn(only_failures=False), None])
def test_a_guest_that_was_migrated_away_is_not_started_again(respawn: Respawn | None) -> None:
    host = migrated(domain("web", respawn=respawn))
    host.pass_time(10_000)
    assert host.did() == []
    assert host.reason("web") == "finished: was migrated to another host"
    assert "by its own name" in next_of(host)


def test_a_guest_that_was_migrated_away_is_started_by_its_own_name_only() -> None:
    host = migrated(domain("web"), domain("app", requires=["web"], autostart=False))
    ticket = host.start("app")
    host.ask(Verb.ENABLE, "web")
    host.pass_time(10_000)
    assert host.result(ticket) == "failed"
    (report,) = host.reports(ticket)
    assert "web: was migrated to another host" in report.message
    assert [done for done in host.did() if "guest" in done] == []
    host.start("web")
    assert [done for done in host.did() if "guest" in done] == [
        "start guest web",
        "start guest app",
    ]


@pytest.mark.parametrize("is_adopted", [False, True])
def test_a_guest_that_is_migrated_away_while_it_ends_is_not_started_again(
    *, is_adopted: bool
) -> None:
    host = host_of(domain("web"))
    host.stubborn.add("web")
    host.restart("web")
    if is_adopted:
        host = host.successor()
    host.did()
    leaves(host)
    host.post(Gone(WEB, host.service("web").generation))
    host.pass_time(10_000)
    assert [done for done in host.did() if done.startswith("start")] == []


def test_a_guest_that_was_migrated_away_while_nobody_wanted_it_is_not_started_along() -> None:
    host = host_of(domain("web"), domain("app", requires=["web"], autostart=False))
    host.stubborn.add("web")
    host.stop("web")
    leaves(host)
    host.post(Gone(WEB, host.service("web").generation))
    host.did()
    host.start("app")
    assert [done for done in host.did() if done.startswith("start")] == []


@pytest.mark.parametrize("end", [MIGRATED, POWERED_OFF], ids=["migrated", "powered off"])
def test_a_reload_starts_no_guest_that_has_ended_well(end: ExitStatus) -> None:
    host = host_of(domain("web"))
    if end is MIGRATED:
        leaves(host)
    else:
        host.exits("web", end)
    host.did()
    changed = domain("web", description="front page", ready=AGENT, respawn=None)
    host.reload(changed)
    heir = host.successor(domain("web", ready=Readiness(AgentProbe(), 10.0)))
    assert (host.did(), heir.did()) == ([], [])
    assert heir.reason("web") == f"finished: {end}"
    heir.reload(domain("web", domain=DomainSpec("other")))
    assert heir.did() == ["start guest web"]


def test_a_guest_that_failed_is_tried_again_after_a_reload() -> None:
    host = host_of(domain("web", respawn=None))
    ends(host, "web", CRASHED)
    host.reload(domain("web", respawn=None, description="repaired"))
    assert host.did() == ["start guest web"]


def test_a_guest_that_comes_back_is_taken_up() -> None:
    host = migrated()
    appear(host)
    assert host.did() == ["start guest web"]
    assert host.service("web").rest is None


def test_a_guest_that_did_not_arrive_is_left_where_it_is() -> None:
    host = host_of(domain("web", autostart=False))
    host.held.add("web")
    ticket = host.start("web")
    generation = host.service("web").generation
    host.post(Told(WEB, generation, "status", "arrives", GuestNote.ARRIVING))
    assert next_of(host).startswith("runs as soon as it is here")
    host.did()
    lost = SpawnFailed(WEB, generation, "libvirt", "did not arrive", False, is_elsewhere=True)
    host.post(lost)
    host.pass_time(10_000)
    assert (host.did(), host.result(ticket)) == (["answer web failed"], "failed")
    assert host.reason("web") == "finished: did not arrive"
    host.post(Defined(WEB))
    assert host.did() == []


def test_a_successor_knows_that_a_guest_was_only_arriving() -> None:
    host = host_of(domain("web", autostart=False))
    host.held.add("web")
    host.start("web")
    generation = host.service("web").generation
    host.post(Told(WEB, generation, "status", "arrives", GuestNote.ARRIVING))
    (adopted,) = host.successor().take(AdoptDomain)
    assert isinstance(adopted, AdoptDomain)
    assert (adopted.was_running, adopted.was_arriving) == (False, True)


def test_a_successor_knows_that_a_guest_ran_though_it_was_not_ready_yet() -> None:
    """How it ended counts then: one that powered itself off is not started again."""
    host = host_of(domain("web", ready=AGENT, autostart=False))
    host.held.add("web")
    host.start("web")
    host.post(Spawned(WEB, host.service("web").generation, 4711))
    host.held.clear()
    heir = host.successor()
    assert heir.did() == ["adopt guest web", "shutdown guest web"]
    assert heir.reason("web") == "finished: the guest powered off"
