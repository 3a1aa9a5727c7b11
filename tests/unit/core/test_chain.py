"""Every state can be explained, down to the cause: playbooks that end with `why`."""

from tests.support.pure_host import FAILED, NOTIFY, TERMINATED, PureHost, domain, service, target

from virtsupd.core.chain import Explanation, Link, why
from virtsupd.core.domain import GuestNote
from virtsupd.core.engine import Remembered
from virtsupd.core.events import Appeared, OutputChanged, Told, Verb
from virtsupd.core.exits import ExitStatus
from virtsupd.core.names import Name
from virtsupd.core.spec import Health, PathProbe, Respawn

SEGV = ExitStatus(signal=11)


def explained(host: PureHost, name: str) -> Explanation:
    return why(host.engine._host, Name(name))


def said(host: PureHost, name: str) -> list[str]:
    """Say each link of an explanation, in order."""
    return [f"{link.name}: {link.why}" for link in explained(host, name).links]


def culprits(host: PureHost, name: str) -> str:
    return " ".join(explained(host, name).culprits)


def link(host: PureHost, name: str, of: str) -> Link:
    return next(link for link in explained(host, name).links if link.name == of)


def three(**fields: object) -> PureHost:
    """A host where web needs app and app needs db, which is ready when it says so."""
    return PureHost.of(
        service("db", ready=NOTIFY, **fields),
        service("app", requires=["db"]),
        service("web", requires=["app"]),
    )


# Down


def test_what_crashed_to_its_limit_is_named_with_its_end_and_what_to_do() -> None:
    host = three(respawn=Respawn(delay_seconds=1, limit=1))
    host.exits("db", SEGV)
    host.pass_time(1)
    host.exits("db", SEGV)
    host.pass_time(60)
    text = "ended by SIGSEGV before it was ready; the limit is 1 respawns within 30 s"
    assert said(host, "web") == [
        "web: waits for app (waiting)",
        "app: waits for db (failed)",
        f"db: {text}",
    ]
    assert culprits(host, "web") == "db"
    db = link(host, "web", "db")
    assert db.snapshot.last_exit is not None
    assert (db.snapshot.last_exit.status, db.since) == (SEGV, host.now - 60)
    assert db.next.command == ("start", "db")
    assert db.has_trouble
    assert not link(host, "web", "app").has_trouble


def test_what_is_tried_again_says_for_what_and_when() -> None:
    host = three(respawn=Respawn(delay_seconds=10))
    host.exits("db", ExitStatus(3))
    db = link(host, "web", "db")
    assert (db.why, db.next.at) == ("exited with code 3 before it was ready", host.now + 10)
    assert db.has_trouble


def test_what_an_operator_stopped_is_named_with_who_and_since_when() -> None:
    host = three()
    host.ready("db")
    host.pass_time(5)
    host.stubborn.add("db")
    host.stop("db")
    host.pass_time(2)
    host.lets_go("db")
    assert said(host, "web")[-1] == "db: stopped by tester"
    assert culprits(host, "web") == "db"
    db = link(host, "web", "db")
    assert (db.since, db.snapshot.since) == (host.now - 2, host.now)
    assert not db.has_trouble


def test_what_never_was_asked_for_says_so() -> None:
    host = PureHost.of(service("db", autostart=False))
    assert said(host, "db") == ["db: not started at boot (autostart = false)"]
    assert culprits(host, "db") == "db"


def test_what_is_disabled_holds_others_back() -> None:
    host = PureHost.of(
        service("db"),
        service("web", requires=["db"]),
        remembered={"db": Remembered(wanted=True, enabled=False)},
    )
    assert said(host, "web") == ["web: waits for db (disabled)", "db: disabled"]


def test_a_cause_that_several_share_is_named_once() -> None:
    host = PureHost.of(
        service("db", ready=NOTIFY),
        service("a", requires=["db"]),
        service("b", requires=["db"]),
        service("web", requires=["a", "b"]),
    )
    assert [link.name for link in explained(host, "web").links] == ["web", "a", "db", "b"]
    assert culprits(host, "web") == "db"
    assert link(host, "web", "db").needed_by == ("a", "b")


def test_several_causes_are_all_named() -> None:
    host = PureHost.of(
        service("a", ready=NOTIFY),
        service("b", respawn=None, ready=NOTIFY),
        service("c"),
        service("web", requires=["a", "b", "c"]),
    )
    host.exits("b")
    assert culprits(host, "web") == "a b"


def test_what_waits_for_an_earlier_one_or_a_rival_says_so() -> None:
    host = PureHost.of(service("a", ready=NOTIFY), service("web", after=["a"]))
    assert said(host, "web") == ["web: starts after a (starting)", "a: waits until ready (notify)"]
    kept = {"new": Remembered(wanted=True, enabled=True)}
    rivals = service("old"), service("new", conflicts=["old"], autostart=False)
    host = PureHost.of(*rivals, service("late", after=["new"]), remembered=kept)
    assert said(host, "old") == ["old: conflicts with new (running)", "new: as wanted"]
    assert culprits(host, "old") == "new"


def test_what_keeps_a_rival_well_or_ill_is_nobodys_cause() -> None:
    """It waits for the rival's end, not for its health."""
    kept = {"new": Remembered(wanted=True, enabled=True)}
    host = PureHost.of(
        service("db", respawn=None),
        service("new", conflicts=["old"], requires=["db"], autostart=False),
        service("net", ready=NOTIFY),
        service("old", requires=["net"]),
        remembered=kept,
    )
    host.ready("net")
    host.exits("db")
    assert said(host, "old") == [
        "old: conflicts with new (running)",
        "new: runs without db (failed)",
    ]
    assert culprits(host, "old") == "new"


# Up


def test_what_is_well_says_who_needs_it_and_blames_nobody() -> None:
    host = three()
    host.ready("db")
    host.pass_time(7)
    (db,) = explained(host, "db").links
    assert (db.why, db.since, db.needed_by) == ("as wanted", host.now - 7, ("app",))
    assert db.snapshot.wanted_by == "boot"
    assert culprits(host, "db") == ""
    assert db.is_well
    host.stop("app")
    assert explained(host, "db").links[0].needed_by == ()


def test_a_start_says_what_it_waits_for() -> None:
    host = three()
    assert said(host, "db") == ["db: waits until ready (notify)"]
    assert link(host, "db", "db").has_trouble
    host = PureHost.of(service("db", autostart=False))
    host.held.add("db")
    host.start("db")
    assert said(host, "db") == ["db: is being started"]


def test_what_runs_without_what_it_needs_says_since_when() -> None:
    host = three(respawn=Respawn(delay_seconds=3))
    host.ready("db")
    host.pass_time(50)
    host.exits("db")
    host.pass_time(5)
    host.exits("db")
    host.pass_time(1)
    assert said(host, "app") == [
        "app: runs without db (backing-off)",
        "db: exited with code 1 before it was ready",
    ]
    assert link(host, "app", "app").since == host.now - 6


def test_what_came_to_need_one_that_never_ran_is_without_it_since_then() -> None:
    host = PureHost.of(service("web"))
    host.pass_time(5)
    host.reload(service("web", requires=["db"]), service("db", ready=NOTIFY))
    began = host.now
    host.pass_time(5)
    assert said(host, "web")[0] == "web: runs without db (starting)"
    assert link(host, "web", "web").since == began


def test_what_is_well_but_stands_on_something_ill_leads_there() -> None:
    host = three(respawn=None)
    host.ready("db")
    host.exits("db")
    assert said(host, "web") == [
        "web: runs, though not all is well behind it",
        "app: runs without db (failed)",
        "db: exited with code 1",
    ]
    assert culprits(host, "web") == "db"


def test_a_target_leads_to_what_it_wants_and_a_service_does_not() -> None:
    host = PureHost.of(
        service("db", ready=NOTIFY),
        service("rapi"),
        target("node", wants=["db", "rapi"]),
        service("web", wants=["db"]),
    )
    assert said(host, "node") == [
        "node: runs, though not all is well behind it",
        "db: waits until ready (notify)",
    ]
    assert culprits(host, "node") == "db"
    assert said(host, "web") == ["web: as wanted"]
    host.ready("db")
    assert said(host, "node") == ["node: as wanted"]
    host.stop("rapi")
    assert said(host, "node")[1] == "rapi: stopped by tester"


def test_what_ran_before_without_what_it_needs_is_without_it_since_it_runs() -> None:
    host = PureHost.of(
        service("net", autostart=False), domain("web", requires=["net"], autostart=False)
    )
    host.pass_time(60)
    host.post(Appeared(Name("web")))
    host.pass_time(60)
    assert said(host, "web")[0].startswith("web: runs without net")
    assert link(host, "web", "web").since == host.now - 60


def test_an_ill_service_is_its_own_culprit_since_its_health_check_says_so() -> None:
    host = PureHost.of(
        service("db", health=Health(PathProbe("/x"), on_failure="degrade")),
        service("web", requires=["db"]),
    )
    host.health("db", "no file")
    host.pass_time(5)
    host.health("db", "no file at all")
    assert said(host, "web")[-1] == "db: health check: no file at all"
    assert link(host, "web", "db").since == host.now - 5
    assert link(host, "web", "db").has_trouble


def paused(host: PureHost) -> None:
    host.post(Told(Name("web"), 1, "status", "paused", GuestNote.PAUSED))


def test_a_paused_guest_is_paused_since_then_and_how_it_goes_on_is_told() -> None:
    host = PureHost.of(domain("web"), service("front", requires=["web"]))
    host.pass_time(60)
    paused(host)
    host.pass_time(5)
    paused(host)
    web = link(host, "web", "web")
    assert (web.why, web.since, web.is_well) == ("paused", host.now - 5, False)
    assert web.next.text == "stays paused until somebody lets it go on: virsh resume web-domain"
    assert culprits(host, "web") == "web"
    host.post(Told(Name("web"), 1, "status", ""))
    assert said(host, "web") == ["web: as wanted"]


def test_what_else_is_wrong_with_a_paused_guest_is_told_too() -> None:
    host = PureHost.of(domain("web", ready=NOTIFY))
    paused(host)
    assert said(host, "web") == ["web: paused; waits until ready (notify)"]


def test_a_guest_that_is_not_seen_is_so_since_it_was_last_whatever_the_reason() -> None:
    host = PureHost.of(domain("web"))
    texts = "not seen: it was stopped", "not seen: nobody listens"
    for text in texts:
        host.pass_time(5)
        host.post(Told(Name("web"), 1, "status", text, GuestNote.UNSEEN))
    heir = host.successor(away=5)
    web = link(heir, "web", "web")
    assert (web.why, web.since) == (texts[-1], heir.now - 10)
    assert web.next.text.startswith("runs on, as far as is known")


def test_output_that_is_lost_is_told() -> None:
    host = PureHost.of(service("db"))
    host.post(OutputChanged(Name("db"), "no space left"))
    assert said(host, "db") == ["db: output: no space left"]
    assert culprits(host, "db") == "db"


# Going down


def test_a_stop_that_waits_names_who_has_to_go_first() -> None:
    host = three()
    host.ready("db")
    host.pass_time(3)
    host.stubborn |= {"web", "app"}
    host.stop("db")
    assert said(host, "db") == [
        "db: stopped by tester",
        "app: stops along with db",
        "web: stops along with app",
    ]
    assert culprits(host, "db") == "web"
    assert link(host, "db", "db").since == host.now
    assert link(host, "db", "app").since is None
    assert link(host, "db", "web").next.at == host.now + 5


def test_what_is_taken_along_names_who_takes_it() -> None:
    host = three()
    host.ready("db")
    host.stubborn |= {"web", "app"}
    host.stop("db")
    assert said(host, "web") == [
        "web: stops along with app",
        "app: stops along with db",
        "db: stopped by tester",
    ]
    assert culprits(host, "web") == "db"
    host.lets_go("web")
    assert said(host, "web") == [
        "web: waits for app (stopping)",
        "app: stops along with db",
        "db: stopped by tester",
    ]


def test_a_restart_says_that_it_is_one() -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"]))
    host.stubborn.add("db")
    host.restart("db")
    assert said(host, "db") == ["db: is restarted"]
    assert said(host, "web") == ["web: waits for db (stopping)", "db: is restarted"]
    host.stop("db")
    host.start("db")
    assert said(host, "db") == ["db: is restarted"]


def test_a_stop_that_was_taken_back_says_so() -> None:
    host = PureHost.of(service("db"))
    host.stubborn.add("db")
    host.stop("db")
    host.start("db")
    assert said(host, "db") == ["db: was stopped, and is wanted again"]


def test_what_falls_with_a_bond_names_it() -> None:
    host = PureHost.of(service("db", respawn=None), service("web", binds_to=["db"]))
    host.stubborn.add("web")
    host.exits("db", FAILED)
    assert said(host, "web") == ["web: falls with db", "db: exited with code 1"]
    assert culprits(host, "web") == "db"


def test_leftovers_of_a_crash_are_its_own_affair() -> None:
    host = PureHost.of(service("db"))
    host.unkillable.add("db")
    host.exits("db", TERMINATED)
    assert said(host, "db") == ["db: ended by SIGTERM; ends what it left behind"]
    assert link(host, "db", "db").has_trouble


def test_what_cannot_be_killed_says_so() -> None:
    host = PureHost.of(service("db"))
    host.unkillable.add("db")
    host.stop("db")
    host.pass_time(60)
    assert said(host, "db") == ["db: its processes are still there after SIGKILL"]
    assert link(host, "db", "db").since == host.now - 60


def test_in_a_shutdown_everything_has_one_reason() -> None:
    host = PureHost.of(service("db"), service("vm", is_guest=True))
    host.stubborn.add("vm")
    host.ask(Verb.SHUTDOWN)
    text = "virtsupd is shutting down"
    assert said(host, "db") == [f"db: {text}", f"vm: {text}"]
    assert culprits(host, "db") == "vm"
    host.lets_go("vm")
    assert said(host, "db") == [f"db: {text}"]


def test_what_left_the_configuration_says_so() -> None:
    host = PureHost.of(service("db"), service("web"))
    host.stubborn.add("db")
    host.reload(service("web"))
    assert said(host, "db") == ["db: no longer in the configuration"]


def test_what_nobody_ever_wanted_is_not_blamed_on_somebody() -> None:
    """As one that is found running when virtsupd begins."""
    host = PureHost.of(service("db"))
    host.stubborn.add("db")
    host.stop("db")
    host.engine.service(Name("db")).wanted_by = ""
    assert said(host, "db") == ["db: not wanted"]
