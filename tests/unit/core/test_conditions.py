"""A condition holds as long as the host is so, and who relies on it runs on when it is not."""

from tests.support.pure_host import NOTIFY, PureHost, service, target

from virtsupd.core.effects import AwaitReady, EndWatches, WatchCondition
from virtsupd.core.events import Fell
from virtsupd.core.names import Name
from virtsupd.core.spec import (
    HostCheck,
    HostProbe,
    PathProbe,
    Readiness,
    Respawn,
    ServiceSpec,
)

THERE = PathProbe("/srv/there")
AT_ONCE = Respawn(delay_seconds=0.0)


def condition(probe: PathProbe | HostProbe = THERE) -> ServiceSpec:
    return target("disk", ready=Readiness(probe, timeout_seconds=0))


def held(*specs: ServiceSpec) -> PureHost:
    """A host on which the condition `disk` holds."""
    host = PureHost.of(condition(), *specs)
    host.ready("disk")
    return host


def falls(host: PureHost, why: str = "it is gone") -> None:
    host.post(Fell(Name("disk"), host.service("disk").generation, why))


def test_one_that_ceases_to_hold_is_waited_for_and_says_why() -> None:
    host = held()
    (watch,) = host.take(WatchCondition)
    assert isinstance(watch, WatchCondition)
    assert watch.probe == THERE
    falls(host)
    assert host.tells("disk")[-1] == "condition fell"
    assert [type(effect) for effect in host.take(EndWatches, AwaitReady)] == [
        EndWatches,
        AwaitReady,
    ]
    assert host.reason("disk") == "waiting: waits until ready (path): it is gone"
    host.ready("disk")
    assert host.running() == ["disk"]
    assert len(host.take(WatchCondition)) == 1


def test_who_needs_it_runs_on_and_waits_for_it_before_the_next_start() -> None:
    host = held(service("web", requires=["disk"], respawn=AT_ONCE))
    falls(host)
    assert host.state("web") == "running"
    assert host.reason("web").startswith("degraded")
    host.exits("web")
    assert host.state("web") == "stopped"
    assert not host.service("web").rest, "no respawn is spent on what cannot work"
    host.ready("disk")
    assert host.running() == ["disk", "web"]


def test_one_that_has_held_is_waited_for_whatever_time_it_had_at_first() -> None:
    disk = target("disk", ready=Readiness(THERE, timeout_seconds=1), respawn=None)
    host = PureHost.of(disk, service("web", requires=["disk"], respawn=AT_ONCE))
    host.ready("disk")
    falls(host)
    host.exits("web")
    host.pass_time(300.0)
    assert host.states("disk")[-1] == "starting"
    heir = host.successor()
    heir.pass_time(300.0)
    heir.ready("disk")
    assert heir.running() == ["disk", "web"]


def test_one_that_others_at_most_want_is_not_waited_for_longer_than_its_time() -> None:
    disk = target("disk", ready=Readiness(THERE, timeout_seconds=1), respawn=None)
    host = PureHost.of(disk, service("web", wants=["disk"], after=["disk"], respawn=AT_ONCE))
    host.ready("disk")
    falls(host)
    host.exits("web")
    assert host.state("web") == "stopped"
    host.pass_time(1.0)
    assert host.state("web") == "running"


def test_one_that_never_held_fails_at_its_limit() -> None:
    disk = target("disk", ready=Readiness(THERE, timeout_seconds=1), respawn=Respawn(limit=2))
    host = PureHost.of(disk, service("web", requires=["disk"]))
    host.pass_time(30.0)
    assert host.reason("disk").startswith("failed")


def test_who_is_bound_to_it_goes_down_and_comes_back_with_it() -> None:
    host = held(service("web", binds_to=["disk"]))
    falls(host)
    assert host.state("web") == "stopped"
    host.ready("disk")
    assert host.running() == ["disk", "web"]


def test_news_of_an_earlier_wait_or_from_a_stop_changes_nothing() -> None:
    host = held(service("web", binds_to=["disk"]))
    host.stubborn.add("web")
    old = host.service("disk").generation
    falls(host)
    host.ready("disk")
    host.post(Fell(Name("disk"), old, "late"))
    assert host.state("disk") == "running"
    host.stop("disk")
    falls(host)
    host.lets_go("web")
    assert host.state("disk") == "stopped"


def test_a_stage_of_the_host_holds_for_good() -> None:
    host = PureHost.of(condition(HostProbe(HostCheck.NETWORKING)))
    host.ready("disk")
    assert not host.take(WatchCondition)


def test_a_successor_watches_on() -> None:
    host = held(service("web", ready=NOTIFY))
    heir = host.successor()
    assert len(heir.take(WatchCondition)) == 1
    falls(heir)
    assert heir.state("disk") == "starting"


def test_what_became_a_service_meanwhile_does_not_fall() -> None:
    host = held()
    host.reload(service("disk"))
    falls(host)
    assert host.state("disk") == "running"
