"""What prepares a process comes before it, and a start that is prepared is a start."""

from tests.support.pure_host import NOTIFY, PureHost, process, service

from virtsupd.core.effects import ArmTimer, RunPrepare, Spawn
from virtsupd.core.events import Hung, Prepared, Timer
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State
from virtsupd.core.spec import Prepare, Respawn, ServiceSpec

BEFORE = Prepare(("before",), 5.0)


def held(*specs: ServiceSpec) -> PureHost:
    """A host on which preparations end only when a test says so, with `web` being prepared."""
    host = PureHost.of()
    host.held_preparations = True
    host.reload(*specs)
    return host


def ends(host: PureHost, why: str | None = None) -> None:
    host.post(Prepared(Name("web"), host.service("web").generation, why))


def test_nothing_is_made_before_it_is_prepared_and_its_time_begins_then() -> None:
    host = held(service("web", prepare=BEFORE, ready=NOTIFY))
    assert [type(effect) for effect in host.take(RunPrepare, Spawn, ArmTimer)] == [RunPrepare]
    assert host.state("web") is State.STARTING
    ends(host)
    spawn, timer = host.take(Spawn, ArmTimer)
    assert isinstance(spawn, Spawn)
    assert isinstance(timer, ArmTimer)
    assert timer.timer is Timer.START_DEADLINE
    host.ready("web")
    assert host.state("web") is State.RUNNING


def test_each_respawn_is_prepared_anew() -> None:
    host = PureHost.of(service("web", prepare=BEFORE, respawn=Respawn(delay_seconds=0.0)))
    assert len(host.take(RunPrepare)) == 1
    host.exits("web")
    assert len(host.take(RunPrepare)) == 1
    assert host.state("web") is State.RUNNING


def test_a_preparation_that_fails_is_a_start_that_failed() -> None:
    host = held(service("web", prepare=BEFORE, respawn=None))
    ends(host, "exited with code 3: no room")
    assert host.reason("web") == "failed: prepare: exited with code 3: no room"
    assert not host.take(Spawn)


def test_what_is_to_stop_meanwhile_is_not_made() -> None:
    host = held(service("web", prepare=BEFORE))
    host.stop("web")
    assert host.state("web") is State.STOPPED
    ends(host)
    assert not host.take(Spawn)


def test_who_loses_what_it_needs_meanwhile_waits_for_it_again() -> None:
    db = service("db", ready=NOTIFY, respawn=Respawn(delay_seconds=1.0))
    host = held(db, service("web", requires=["db"], prepare=BEFORE))
    host.ready("db")
    assert host.state("web") is State.STARTING
    host.exits("db")
    assert host.state("web") is State.STOPPED
    host.pass_time(1.0)
    host.ready("db")
    ends(host)
    assert host.state("web") is State.RUNNING


def test_a_definition_that_changes_meanwhile_is_taken_by_the_next_start() -> None:
    before = service("web", prepare=BEFORE, ready=NOTIFY)
    host = held(before)
    host.reload(service("web", ready=NOTIFY, autostart=False))
    ends(host)
    [spawn] = host.take(Spawn)
    assert isinstance(spawn, Spawn)
    assert spawn.process == before.process


def preparing_with(*arguments: str) -> tuple[PureHost, int]:
    """A host on which `web` is being prepared, started by a command with arguments for one run."""
    host = PureHost.of(service("web", process=process("web"), prepare=BEFORE, autostart=False))
    host.held_preparations = True
    return host, host.start("web", once=arguments)


def made(host: PureHost) -> list[tuple[str, ...]]:
    return [effect.process.command for effect in host.take(Spawn) if isinstance(effect, Spawn)]


def test_arguments_for_one_run_are_taken_back_by_who_hangs_up_meanwhile() -> None:
    host, ticket = preparing_with("--no-voting")
    host.post(Hung(ticket))
    ends(host)
    assert made(host) == [("web",)], "nobody is there any more who knows of them"


def test_the_newest_arguments_for_one_run_are_given() -> None:
    host, _ = preparing_with("--no-voting")
    host.start("web", once=("--careful",))
    ends(host)
    assert made(host) == [("web", "--careful")]
    assert host.service("web").once == ("--careful",)


def test_a_stop_meanwhile_drops_them() -> None:
    host, _ = preparing_with("--no-voting")
    host.stop("web")
    host.start("web")
    ends(host)
    assert made(host) == [("web",)]


def test_who_gets_a_rival_meanwhile_is_not_made_beside_it() -> None:
    host = held(service("web", prepare=BEFORE), service("db"))
    host.reload(service("web", prepare=BEFORE, conflicts=["db"]), service("db", autostart=False))
    host.take()
    ends(host)
    assert not host.take(Spawn)
    assert host.state("web") is State.STOPPED
    host.stop("db")
    ends(host)
    assert host.running() == ["web"]
