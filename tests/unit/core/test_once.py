"""Arguments for one run: the next process gets them, and none after it, whatever becomes of it."""

import pytest
from tests.support.pure_host import NOTIFY, PureHost, domain, process, service, target, timer

from virtsupd.core.effects import Spawn
from virtsupd.core.events import Hung, SpawnFailed, Verb
from virtsupd.core.exits import ExitStatus
from virtsupd.core.names import Name
from virtsupd.core.spec import ExitProbe, Readiness, Respawn

SLOW = Respawn(delay_seconds=10)
ONCE = ("--no-voting", "a b")
NOT_MASTER = ExitStatus(code=11)


def luxid(**fields: object) -> PureHost:
    return PureHost.of(service("luxid", process=process("luxid", "-f"), **fields))


def commands(host: PureHost) -> list[tuple[str, ...]]:
    """Return the command of each process that was to be made since the last call."""
    return [effect.process.command for effect in host.take(Spawn) if isinstance(effect, Spawn)]


def test_the_process_that_is_started_gets_them_and_the_respawned_one_does_not() -> None:
    host = luxid(autostart=False)
    host.start("luxid", once=ONCE)
    assert host.engine.snapshot(Name("luxid")).once == ONCE
    assert not host.engine.snapshot(Name("luxid")).is_replacement_pending
    host.exits("luxid")
    host.pass_time(10)
    assert commands(host) == [("luxid", "-f", *ONCE), ("luxid", "-f")]
    assert host.engine.snapshot(Name("luxid")).once == ()


@pytest.mark.parametrize("verb", [Verb.RESTART, Verb.STOP])
def test_what_is_started_after_a_stop_or_restart_does_not_get_them(verb: Verb) -> None:
    host = luxid(autostart=False)
    host.start("luxid", once=ONCE)
    host.ask(verb, "luxid")
    host.start("luxid")
    assert commands(host)[1:] == [("luxid", "-f")]
    assert host.service("luxid").once == ()


def test_one_that_runs_is_left_alone_and_the_answer_says_so() -> None:
    host = luxid()
    host.did()
    ticket = host.start("luxid", once=ONCE)
    (report,) = host.reports(ticket)
    assert (report.result, report.message) == (
        "already",
        "luxid is already running; --once has no effect",
    )
    host.exits("luxid")
    host.pass_time(10)
    assert commands(host) == [("luxid", "-f")]


def test_one_that_was_on_its_way_comes_without_them_and_the_answer_says_so() -> None:
    host = luxid(ready=NOTIFY)
    ticket = host.start("luxid", once=ONCE)
    host.ready("luxid")
    assert host.reports(ticket)[0].message == "luxid is running; --once has no effect"


def test_one_that_has_them_already_was_not_asked_in_vain() -> None:
    """As after virtsupd became another program while the start was waited for."""
    host = luxid(autostart=False, ready=NOTIFY)
    host.start("luxid", once=ONCE)
    heir = host.successor()
    ticket = heir.start("luxid", once=ONCE)
    heir.ready("luxid")
    assert heir.reports(ticket)[0].message == "luxid is running"
    other = heir.start("luxid", once=("else",))
    assert heir.reports(other)[0].message == "luxid is already running; --once has no effect"


def test_one_that_dies_before_it_is_ready_is_tried_again_without_them() -> None:
    host = luxid(autostart=False, ready=NOTIFY, respawn=SLOW)
    ticket = host.start("luxid", once=ONCE)
    host.exits("luxid", ExitStatus(signal=9))
    (report,) = host.reports(ticket)
    assert (report.result, report.message) == (
        "failed",
        (
            "luxid: the run with the arguments of --once has ended"
            " (ended by SIGKILL before it was ready); it is tried again without them"
        ),
    )
    host.pass_time(10)
    assert commands(host) == [("luxid", "-f", *ONCE), ("luxid", "-f")]


def test_one_that_ends_for_good_is_answered_as_ever() -> None:
    host = luxid(autostart=False, ready=NOTIFY, not_needed_exit=frozenset({11}))
    ticket = host.start("luxid", once=ONCE)
    host.exits("luxid", NOT_MASTER)
    assert host.result(ticket) == "not-needed"


def test_one_that_is_tried_again_at_once_was_started_in_vain() -> None:
    host = luxid(autostart=False, ready=NOTIFY, respawn=Respawn(delay_seconds=0.0))
    ticket = host.start("luxid", once=ONCE)
    host.exits("luxid")
    assert commands(host) == [("luxid", "-f", *ONCE), ("luxid", "-f")]
    assert host.result(ticket) == "failed"


def test_they_wait_for_what_is_needed_and_are_dropped_when_that_fails() -> None:
    host = PureHost.of(
        service("net", ready=NOTIFY, respawn=None),
        service("luxid", requires=["net"], autostart=False),
    )
    ticket = host.start("luxid", once=ONCE)
    assert host.service("luxid").once == ()
    host.never_ready("net")
    assert host.result(ticket) == "failed"
    host.take()
    host.start("luxid")
    host.ready("net")
    assert commands(host) == [("net",), ("luxid",)]


def test_they_wait_for_what_is_needed_and_are_given_then() -> None:
    host = PureHost.of(
        service("net", ready=NOTIFY), service("luxid", requires=["net"], autostart=False)
    )
    host.start("luxid", once=ONCE)
    host.take()
    host.ready("net")
    assert commands(host) == [("luxid", *ONCE)]


@pytest.mark.parametrize("verb", [Verb.STOP, Verb.RESTART])
def test_a_stop_or_restart_drops_those_that_still_wait(verb: Verb) -> None:
    host = PureHost.of(
        service("net", ready=NOTIFY), service("luxid", requires=["net"], autostart=False)
    )
    host.start("luxid", once=ONCE)
    host.ask(verb, "luxid")
    host.start("luxid")
    host.take()
    host.ready("net")
    assert commands(host) == [("luxid",)]


def test_who_hangs_up_takes_them_back() -> None:
    host = PureHost.of(
        service("net", ready=NOTIFY), service("luxid", requires=["net"], autostart=False)
    )
    host.post(Hung(host.start("luxid", once=ONCE)))
    host.take()
    host.ready("net")
    assert commands(host) == [("luxid",)]


def test_the_newest_command_decides_and_the_older_ones_leave_nothing() -> None:
    host = PureHost.of(
        service("net", ready=NOTIFY), service("luxid", requires=["net"], autostart=False)
    )
    host.start("luxid", once=("old",))
    host.start("luxid", once=("new",))
    host.take()
    host.ready("net")
    host.exits("luxid")
    host.pass_time(10)
    assert commands(host) == [("luxid", "new"), ("luxid",)]


def test_a_spawn_that_fails_has_used_them_up() -> None:
    host = luxid(autostart=False, respawn=SLOW)
    host.held.add("luxid")
    host.start("luxid", once=ONCE)
    host.post(
        SpawnFailed(Name("luxid"), host.service("luxid").generation, "fork", "no memory", False)
    )
    assert host.service("luxid").once == ()
    host.held.clear()
    host.pass_time(10)
    assert commands(host) == [("luxid", "-f", *ONCE), ("luxid", "-f")]


def test_what_is_down_for_whatever_reason_is_started_with_them_at_once() -> None:
    not_needed = luxid(not_needed_exit=frozenset({11}))
    not_needed.exits("luxid", NOT_MASTER)
    failed = luxid(respawn=None)
    failed.exits("luxid")
    backing_off = luxid(respawn=SLOW)
    backing_off.exits("luxid")
    disabled = luxid(autostart=False)
    disabled.ask(Verb.DISABLE, "luxid")
    for host in (not_needed, failed, backing_off, disabled):
        host.take()
        assert host.result(host.start("luxid", once=ONCE)) == "done"
        assert commands(host) == [("luxid", "-f", *ONCE)]
        assert host.service("luxid").enabled


def test_nothing_is_enabled_for_its_sake_but_itself() -> None:
    host = PureHost.of(service("net"), service("luxid", requires=["net"], autostart=False))
    host.stop("net")
    host.ask(Verb.DISABLE, "net")
    assert host.result(host.start("luxid", once=ONCE)) == "disabled"
    assert not host.service("net").enabled


def test_one_that_is_still_going_down_comes_back_with_them() -> None:
    host = luxid(respawn=SLOW)
    host.stubborn.add("luxid")
    host.ask(Verb.DISABLE, "luxid")
    host.stop("luxid")
    ticket = host.start("luxid", once=ONCE)
    host.take()
    host.lets_go("luxid")
    assert commands(host) == [("luxid", "-f", *ONCE)]
    assert (host.result(ticket), host.service("luxid").enabled) == ("done", True)


def test_one_that_runs_though_it_is_disabled_stays_so() -> None:
    host = luxid()
    host.ask(Verb.DISABLE, "luxid")
    assert host.result(host.start("luxid", once=ONCE)) == "already"
    assert not host.service("luxid").enabled


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b"], "--once is for one service at a time"),
        (["all"], "--once cannot be given to all: it is a target, and has no command"),
        (["there"], "--once cannot be given to there: it is a condition, and has no command"),
        (["nightly"], "--once cannot be given to nightly: it is a timer"),
        (["vm"], "--once cannot be given to vm: libvirt starts it"),
    ],
)
def test_what_cannot_be_given_any_is_refused(names: list[str], message: str) -> None:
    down = {"autostart": False}
    host = PureHost.of(
        service("a", **down),
        service("b", **down),
        target("all", **down),
        target("there", ready=Readiness(NOTIFY.probe), **down),
        timer("nightly", autostart=False),
        domain("vm", **down),
    )
    ticket = host.start(*names, once=ONCE)
    assert {(r.result, r.message) for r in host.reports(ticket)} == {("refused", message)}
    assert host.running() == []


def test_a_successor_knows_them_of_the_process_that_runs_and_gives_them_to_no_other() -> None:
    host = luxid(autostart=False)
    host.start("luxid", once=ONCE)
    heir = host.successor()
    assert heir.engine.snapshot(Name("luxid")).once == ONCE
    assert not heir.engine.snapshot(Name("luxid")).is_replacement_pending
    heir.exits("luxid")
    heir.pass_time(10)
    assert commands(heir) == [("luxid", "-f")]


def test_a_one_shot_that_is_done_was_given_them_and_has_them_no_longer() -> None:
    host = luxid(autostart=False, one_shot=True, ready=Readiness(ExitProbe()))
    ticket = host.start("luxid", once=ONCE)
    host.exits("luxid", ExitStatus(code=0))
    assert (host.state("luxid"), host.service("luxid").once) == ("running", ())
    assert host.result(ticket) == "done"
