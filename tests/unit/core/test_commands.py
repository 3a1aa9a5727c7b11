"""When a command is refused, what it touches, and what its answer says."""

import pytest
from tests.support.pure_host import CLEAN, NOTIFY, PureHost, service, target

from virtsupd.core.commands import resolve
from virtsupd.core.events import Asked, Hung, Verb
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.spec import Reload, Respawn
from virtsupd.core.state import HostState
from virtsupd.core.ticket import Ticket

SLOW = Respawn(delay_seconds=10)


def host_with_guest() -> PureHost:
    return PureHost.of(
        service("libvirtd"),
        service("vm", requires=["libvirtd"], is_guest=True),
        service("vbox", conflicts=["libvirtd"], autostart=False),
        target("net"),
        service("vm2", binds_to=["net"], is_guest=True),
    )


@pytest.mark.parametrize(
    ("verb", "name", "guest"),
    [
        (Verb.STOP, "libvirtd", "vm"),
        (Verb.RESTART, "libvirtd", "vm"),
        (Verb.START, "vbox", "vm"),
        (Verb.RESTART, "vbox", "vm"),
        (Verb.STOP, "net", "vm2"),
        (Verb.RESTART, "net", "vm2"),
    ],
)
def test_what_would_end_a_guest_is_refused_with_its_name(verb: Verb, name: str, guest: str) -> None:
    host = host_with_guest()
    host.did()
    ticket = host.ask(verb, name)
    assert host.did() == [f"answer {name} refused"]
    assert [r.message for r in host.reports(ticket)] == [
        f"this would end the guests {guest}; name them too, or give --guests"
    ]
    assert host.running() == ["libvirtd", "net", "vm", "vm2"]
    assert host.engine.service(Name(name)).wanted is (name != "vbox")


@pytest.mark.parametrize("verb", [Verb.START, Verb.STOP, Verb.RESTART])
@pytest.mark.parametrize("name", ["libvirtd", "vbox", "net", "vm", "off"])
@pytest.mark.parametrize("guests", [False, True])
def test_a_refusal_is_told_before_in_the_words_of_the_command(
    verb: Verb, name: str, *, guests: bool
) -> None:
    host = host_with_guest()
    host.reload(*host.engine.graph.spec_by_name.values(), service("off", autostart=False))
    host.ask(Verb.DISABLE, "off")
    told = host.engine.refusal(verb, [Name(name)], guests=guests)
    host.did()
    ticket = host.ask(verb, name, guests=guests)
    is_refused = any(words.endswith(("refused", "disabled")) for words in host.did())
    assert told == (host.reports(ticket) if is_refused else ())
    assert is_refused is bool(told)
    assert host.engine.refusal(verb, [Name("gone")], guests=guests) == ()


@pytest.mark.parametrize(("names", "guests"), [(("libvirtd", "vm"), False), (("libvirtd",), True)])
def test_it_is_done_when_the_guests_are_named_or_included(
    names: tuple[str, ...], *, guests: bool
) -> None:
    host = host_with_guest()
    host.did()
    ticket = host.ask(Verb.STOP, *names, guests=guests)
    assert host.did()[:2] == ["terminate vm", "terminate libvirtd"]
    assert set(host.answers[ticket].touched) == {"libvirtd", "vm"}


def test_stopping_a_guest_itself_needs_no_permission() -> None:
    host = host_with_guest()
    assert host.result(host.stop("vm")) == "done"


def test_a_guest_that_does_not_run_hinders_nothing() -> None:
    host = host_with_guest()
    host.stop("vm")
    assert host.result(host.stop("libvirtd")) == "done"


def test_an_answer_lists_what_was_stopped_named_services_first() -> None:
    host = PureHost.of(
        service("a"),
        service("b", requires=["a"]),
        service("c", requires=["b"]),
        service("d", requires=["a"], autostart=False),
    )
    assert host.answers[host.stop("a")].touched == ("a", "c", "b")
    assert host.answers[host.stop("a")].touched == ()


def test_reports_come_in_the_order_asked() -> None:
    host = PureHost.of(service("a"), service("b"), service("c"))
    host.did()
    host.stop("c", "a", "b")
    assert host.did()[-1] == "answer c done a done b done"


def test_a_command_about_a_service_that_has_left_is_answered_and_changes_nothing() -> None:
    host = PureHost.of(service("a"))
    host.did()
    ticket = host.ask(Verb.STOP, "a", "b")
    assert host.did() == ["answer a refused b refused"]
    assert host.reports(ticket)[0].message == "b: no longer there"
    assert host.running() == ["a"]


def test_a_command_whose_client_hung_up_stays_in_force_and_is_not_answered() -> None:
    host = PureHost.of(service("a", autostart=False, ready=NOTIFY))
    ticket = host.start("a")
    host.post(Hung(ticket))
    host.ready("a")
    assert host.running() == ["a"]
    assert ticket not in host.answers
    host.post(Hung(99))


# What is part of something


def host_with_parts() -> PureHost:
    return PureHost.of(
        target("node", wants=["noded", "luxid"]),
        service("noded", part_of=["node"]),
        service("luxid", after=["noded"], part_of=["node"]),
        service("metad", part_of=["node"], autostart=False),
        service("job", part_of=["luxid"]),
        service("web"),
    )


def test_who_stops_a_whole_stops_its_parts_and_theirs_and_nothing_comes_back() -> None:
    host = host_with_parts()
    ticket = host.stop("node")
    assert host.running() == ["web"]
    assert set(host.answers[ticket].touched) == {"node", "noded", "luxid", "job"}
    assert next(report.name for report in host.reports(ticket)) == "node"
    assert not host.engine.service(Name("job")).wanted
    host.start("node")
    assert host.running() == ["luxid", "node", "noded", "web"]


def test_a_part_comes_and_goes_alone() -> None:
    host = host_with_parts()
    host.stop("noded")
    assert host.running() == ["job", "luxid", "node", "web"]
    host.stop("node")
    host.start("noded")
    assert host.running() == ["noded", "web"]


def test_a_restart_of_a_whole_restarts_the_parts_that_run() -> None:
    host = host_with_parts()
    host.stop("luxid")
    host.did()
    ticket = host.ask(Verb.RESTART, "node")
    assert {report.name for report in host.reports(ticket)} == {"node", "noded"}
    assert "terminate noded" in host.did()
    assert "luxid" in host.running()  # node wants it
    assert "metad" not in host.running()


def test_a_guest_that_is_part_of_something_is_not_meant_by_its_name() -> None:
    host = PureHost.of(target("node"), service("vm", part_of=["node"], is_guest=True))
    assert host.result(host.stop("node")) == "refused"
    assert "vm" in host.running()
    host.stop("node", guests=True)
    assert host.running() == []


def test_what_would_be_touched_of_a_whole_are_its_parts() -> None:
    host = host_with_parts()
    touch = host.engine.would_touch(Verb.STOP, [Name("node")])
    assert set(touch.stopped) == {"node", "noded", "luxid", "job"}


# What a command would touch


def host_with_rivals() -> PureHost:
    """A host on which `web` needs `net`, which excludes what others run on."""
    return PureHost.of(
        service("net", autostart=False, conflicts=["rival"]),
        service("log", autostart=False, conflicts=["waiting"]),
        service("web", requires=["net"], wants=["log"], autostart=False),
        service("rival"),
        service("page", requires=["rival"]),
        service("vm", binds_to=["page"]),
        service("apart", requires=["rival"], autostart=False),
        service("never", autostart=False),
        service("waiting", requires=["slow"]),
        service("slow", ready=NOTIFY),
        target("stage"),
        service("bound", binds_to=["stage"]),
        service("behind", requires=["stage"]),
    )


@pytest.mark.parametrize(
    ("verb", "names", "stopped", "started"),
    [
        # Rivals of all that is started along, those that are only wanted, and what falls with them.
        (Verb.START, ["web"], {"rival", "page", "vm", "waiting"}, ["log", "net", "web"]),
        (Verb.RESTART, ["web"], {"rival", "page", "vm", "waiting"}, ["log", "net", "web"]),
        (Verb.START, ["rival"], set(), []),
        (Verb.START, ["page"], set(), []),
        (Verb.RESTART, ["rival"], {"rival", "page", "vm"}, ["rival"]),
        (Verb.STOP, ["rival"], {"rival", "page", "vm"}, []),
        (Verb.STOP, ["page", "never"], {"page", "vm"}, []),
        (Verb.STOP, ["stage"], {"stage", "bound"}, []),
        (Verb.RELOAD, ["rival"], set(), []),
        (Verb.DISABLE, ["rival"], set(), []),
        (Verb.WAIT, ["web"], set(), []),
    ],
)
def test_what_a_command_would_touch_is_told_and_nothing_is_done(
    verb: Verb, names: list[str], stopped: set[str], started: list[str]
) -> None:
    host = host_with_rivals()
    before = [host.engine.snapshot(name) for name in host.engine.names()]
    found = host.engine.would_touch(verb, [Name(name) for name in names])
    assert set(found.stopped) == stopped
    assert sorted(found.started) == started
    assert [host.engine.snapshot(name) for name in host.engine.names()] == before


@pytest.mark.parametrize("verb", [Verb.START, Verb.STOP, Verb.RESTART])
@pytest.mark.parametrize("name", ["web", "rival", "page", "stage", "net", "slow"])
def test_a_command_stops_and_starts_what_was_told_and_nothing_else(verb: Verb, name: str) -> None:
    host = host_with_rivals()
    told = host.engine.would_touch(verb, [Name(name)])
    host.did()
    host.ask(verb, name)
    did = [words.split() for words in host.did()]
    ended = {words[1] for words in did if words[0] == "terminate"}
    targets = {"stage"}  # they have no process to end
    assert ended | targets.intersection(told.stopped) == set(told.stopped) - {"waiting"}
    assert set(told.started) - targets <= {words[1] for words in did if words[0] == "spawn"}


# Start


def test_a_start_is_answered_when_it_runs_and_not_before() -> None:
    host = PureHost.of(service("a", autostart=False, ready=NOTIFY))
    ticket = host.start("a")
    assert ticket not in host.answers
    host.ready("a")
    assert host.reports(ticket)[0].message == "a is running"


def test_a_start_waits_through_respawns_until_it_runs_or_has_failed() -> None:
    policy = Respawn(delay_seconds=1, limit=2)
    host = PureHost.of(service("a", autostart=False, ready=NOTIFY, respawn=policy))
    ticket = host.start("a")
    for _ in range(2):
        host.exits("a")
        assert ticket not in host.answers
        host.pass_time(5)
    host.exits("a")
    assert host.result(ticket) == "failed"


def test_a_start_fails_with_what_it_needs() -> None:
    host = PureHost.of(
        service("a", autostart=False, respawn=None, ready=NOTIFY),
        service("b", autostart=False, requires=["a"]),
    )
    ticket = host.start("b")
    host.exits("a")
    assert [(str(r.result), r.message) for r in host.reports(ticket)] == [
        ("failed", "b needs a: exited with code 1 before it was ready")
    ]


def test_a_start_is_answered_when_an_operator_stopped_what_it_waits_for() -> None:
    host = PureHost.of(
        service("a", autostart=False, ready=NOTIFY),
        service("b", autostart=False, requires=["a"]),
    )
    ticket = host.start("b")
    host.stop("a")
    assert [(str(r.result), r.message) for r in host.reports(ticket)] == [
        ("waiting", "b needs a: stopped by tester")
    ]
    host.start("a")
    host.ready("a")
    assert host.running() == ["a", "b"]


def test_a_disabled_requirement_that_is_down_makes_a_start_fail_at_once() -> None:
    host = PureHost.of(
        service("a", autostart=False),
        service("slow", autostart=False, ready=NOTIFY),
        service("b", autostart=False, requires=["a", "slow"]),
    )
    host.ask(Verb.DISABLE, "a")
    host.did()
    ticket = host.start("b")
    assert host.did() == ["answer b disabled"]
    assert host.reports(ticket)[0].message == (
        "b needs a: disabled; virtsupctl enable makes it startable"
    )


def test_a_requirement_that_is_disabled_while_a_start_waits_for_it_ends_the_start() -> None:
    slow = Respawn(delay_seconds=10)
    host = PureHost.of(
        service("a", ready=NOTIFY, respawn=slow, autostart=False),
        service("b", requires=["a"], autostart=False),
    )
    ticket = host.start("b")
    host.exits("a")
    host.ask(Verb.DISABLE, "a")
    assert host.result(ticket) == "disabled"


def test_a_disabled_requirement_that_runs_is_as_good_as_any() -> None:
    host = PureHost.of(service("a"), service("b", autostart=False, requires=["a"]))
    host.ask(Verb.DISABLE, "a")
    assert host.result(host.start("b")) == "done"


def test_a_refused_start_is_not_carried_out_later() -> None:
    host = PureHost.of(service("a", autostart=False), service("b", autostart=False, requires=["a"]))
    host.ask(Verb.DISABLE, "a")
    host.start("b")
    host.start("a")
    host.ask(Verb.ENABLE, "a")
    assert host.running() == []


def test_a_restart_that_could_not_end_in_a_start_takes_nothing_down() -> None:
    host = PureHost.of(service("a"), service("b", requires=["a"]), service("c"))
    host.ask(Verb.DISABLE, "a")
    ticket = host.restart("a", "c")
    assert [(r.name, r.result) for r in host.reports(ticket)] == [
        ("a", "disabled"),
        ("c", "refused"),
    ]
    assert host.running() == ["a", "b", "c"]
    assert host.result(host.restart("b")) == "done", "what it needs runs on"


def test_a_disabled_service_does_not_start() -> None:
    host = PureHost.of(service("a", autostart=False))
    host.ask(Verb.DISABLE, "a")
    assert host.result(host.start("a")) == "disabled"


def test_a_start_displaces_what_it_conflicts_with_for_good() -> None:
    host = PureHost.of(service("a"), service("b", autostart=False, conflicts=["a"]))
    host.did()
    host.start("b")
    assert host.did() == ["terminate a", "spawn b", "answer b done"]
    host.stop("b")
    assert host.running() == []
    assert host.reason("a") == "stopped-by-operator: stopped by tester"


def test_what_depends_on_a_displaced_service_stops_first_and_stays_wanted() -> None:
    host = PureHost.of(
        service("a"), service("x", requires=["a"]), service("b", autostart=False, conflicts=["a"])
    )
    host.did()
    ticket = host.start("b")
    assert host.did() == ["terminate x", "terminate a", "spawn b", "answer b done"]
    assert host.answers[ticket].touched == ("a", "x")
    assert host.reason("x") == "waiting: waits for a (stopped-by-operator)"


def test_of_two_rivals_asked_for_at_once_one_runs_and_the_other_is_said_to_wait() -> None:
    host = PureHost.of(
        service("a", autostart=False), service("b", autostart=False, conflicts=["a"])
    )
    ticket = host.start("a", "b")
    assert [(str(r.result), r.message) for r in host.reports(ticket)] == [
        ("done", "a is running"),
        ("waiting", "b: conflicts with a (running)"),
    ]


def test_a_start_waits_for_a_rival_that_is_on_its_way_out() -> None:
    host = PureHost.of(service("a"), service("b", autostart=False, conflicts=["a"]))
    host.stubborn.add("a")
    ticket = host.start("b")
    assert ticket not in host.answers
    host.lets_go("a")
    assert host.result(ticket) == "done"


def test_a_newer_restart_keeps_an_older_start_waiting_for_the_new_process() -> None:
    host = PureHost.of(service("a", autostart=False, ready=NOTIFY))
    first = host.start("a")
    second = host.restart("a")
    host.ready("a")
    assert (host.result(first), host.result(second)) == ("done", "done")


# Stop, wait, reload, enable


def test_stopping_what_is_stopped_says_so_and_keeps_it_down() -> None:
    host = PureHost.of(service("a", respawn=SLOW))
    host.exits("a")
    assert host.result(host.stop("a")) == "already"
    host.pass_time(100)
    assert host.running() == []
    assert not host.timers


def test_a_wait_changes_nothing_and_ends_when_it_runs() -> None:
    host = PureHost.of(service("a", autostart=False, ready=NOTIFY))
    ticket = host.ask(Verb.WAIT, "a")
    assert host.did() == []
    host.start("a")
    host.ready("a")
    assert host.result(ticket) == "done"


def test_a_wait_goes_on_through_stops_and_needs_that_are_down() -> None:
    host = PureHost.of(service("a"), service("b", requires=["a"]))
    host.stubborn.add("b")
    host.stop("b", "a")
    ticket = host.ask(Verb.WAIT, "a")
    host.lets_go("b")
    second = host.ask(Verb.WAIT, "b")
    assert not {ticket, second} & set(host.answers)
    host.start("b")
    assert (host.result(ticket), host.result(second)) == ("done", "done")


def test_a_wait_ends_when_it_has_failed() -> None:
    host = PureHost.of(service("a", ready=NOTIFY, respawn=None))
    ticket = host.ask(Verb.WAIT, "a")
    host.exits("a")
    assert host.result(ticket) == "failed"


def test_a_wait_ends_with_the_shutdown() -> None:
    host = PureHost.of(service("a", autostart=False))
    ticket = host.ask(Verb.WAIT, "a")
    host.ask(Verb.SHUTDOWN)
    assert host.result(ticket) == "superseded"


def test_a_reload_tells_what_became_of_it() -> None:
    host = PureHost.of(service("a", reload=Reload(command=("apply",))), service("b"))
    assert host.result(host.ask(Verb.RELOAD, "a")) == "done"
    host.reload_fails = "exited with code 3: bad table"
    ticket = host.ask(Verb.RELOAD, "a", "b")
    assert [r.message for r in host.reports(ticket)] == [
        "exited with code 3: bad table",
        "b cannot reload; use restart",
    ]
    assert host.tells("a")[-1] == "reload failed"


def test_a_reload_that_ends_answers_those_who_asked_for_it() -> None:
    host = PureHost.of(service("a", reload=Reload("SIGHUP")), service("b", ready=NOTIFY))
    waiting = host.ask(Verb.WAIT, "b")
    assert host.result(host.ask(Verb.RELOAD, "a")) == "done"
    assert waiting not in host.answers


def test_what_is_about_to_start_is_waited_for() -> None:
    """Asked before the loop has run, which the engine never does."""
    specs = (service("a"), service("b", requires=["a"]))
    host = HostState(ServiceGraph.build(specs), {})
    for spec in specs:
        host.add(spec).wanted = True
    ticket = Ticket(Verb.START, (Name("a"), Name("b")), open={Name("a"), Name("b")})
    resolve(host, ticket)
    assert ticket.open == {"a", "b"}


def test_a_reload_ends_when_the_service_does() -> None:
    host = PureHost.of(service("a", reload=Reload(command=("apply",))))
    host.held_reloads = True
    ticket = host.ask(Verb.RELOAD, "a")
    assert ticket not in host.answers
    host.exits("a")
    assert host.result(ticket) == "failed"


def test_while_it_shuts_down_nothing_is_started() -> None:
    host = PureHost.of(service("a"), service("b", autostart=False))
    host.stubborn.add("a")
    host.ask(Verb.SHUTDOWN)
    for verb in (Verb.START, Verb.RESTART, Verb.WAIT):
        ticket = host.ask(verb, "b")
        assert host.reports(ticket)[0].message == "virtsupd is shutting down"
    assert host.result(host.ask(Verb.DISABLE, "b")) == "done"


def test_a_command_without_names_is_answered() -> None:
    host = PureHost.of(service("a"))
    host.post(Asked(7, Verb.STOP, (), "tester"))
    assert host.answers[7].reports == ()


def test_a_finished_one_shot_can_be_restarted() -> None:
    host = PureHost.of(service("job", one_shot=True, ready=NOTIFY))
    host.exits("job", CLEAN)
    ticket = host.restart("job")
    host.exits("job", CLEAN)
    assert host.result(ticket) == "done"
