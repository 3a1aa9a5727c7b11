"""Who may give commands, and how they are waited for."""

import anyio
import anyio.lowlevel
import pytest
from tests.support.control import until
from tests.support.hand_backend import HandBackend, shutdown_view, snapshot_of, spec_of

from virtsupd.config.settings import AccessRule, AccessSettings
from virtsupd.control import commands
from virtsupd.control.access import Access, Grant, Peer
from virtsupd.control.backend import Change
from virtsupd.core.commands import Touch
from virtsupd.core.effects import Answer, Result
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State
from virtsupd.core.spec import ActionSpec
from virtsupd.errors import ActionError, ArgumentsError, PeerDeniedError, UnknownServiceError

NET, WEB, FRONT, RIVAL = map(Name, ("net", "web", "front", "rival"))


def backend() -> HandBackend:
    return HandBackend(
        snapshot_of(spec_of("net", provides=(NET, Name("networking")))),
        snapshot_of(spec_of("web", requires=(Name("networking"),))),
        snapshot_of(spec_of("front", binds_to=(WEB,))),
        snapshot_of(spec_of("other", requires=(WEB,)), State.STOPPED),
        snapshot_of(spec_of("rival", conflicts=(Name("networking"),))),
    )


def grant(*rules: AccessRule, uid: int = 1000) -> Grant:
    return Access(AccessSettings(rules=rules), own_uid=0).grant(Peer(1, uid, uid))


def test_names_are_made_canonical_each_once() -> None:
    assert commands.resolve(backend(), ["networking", "web", "net"]) == (NET, WEB)
    with pytest.raises(UnknownServiceError):
        commands.resolve(backend(), ["web", "wbe"])


def test_the_role_is_needed_for_the_named_and_for_all_that_would_be_stopped() -> None:
    daemon = backend()
    operator = grant(AccessRule("operator", uid=1000, services=("web", "net")))
    commands.check(daemon, operator, Verb.START, [WEB])
    with pytest.raises(PeerDeniedError, match="start needs role operator for front, which uid"):
        commands.check(daemon, operator, Verb.START, [WEB, FRONT])
    with pytest.raises(PeerDeniedError, match="disable needs role admin for web"):
        commands.check(daemon, operator, Verb.DISABLE, [WEB])
    daemon.touch = Touch(stopped=(NET, RIVAL, FRONT))
    for verb in (Verb.START, Verb.STOP, Verb.RESTART):
        with pytest.raises(PeerDeniedError) as refused:
            commands.check(daemon, operator, verb, [NET])
        assert str(refused.value) == (
            f"{verb} would stop others and needs role operator for front, "
            "which uid 1000 does not have"
        )
    commands.check(daemon, grant(AccessRule("operator", uid=1000)), Verb.STOP, [NET])
    commands.check(daemon, grant(uid=0), Verb.STOP, [NET])


def test_arguments_for_one_run_are_an_administrators_to_give() -> None:
    operator = grant(AccessRule("operator", uid=1000))
    assert commands.once(operator, None, [WEB]) == commands.once(operator, [], [WEB]) == ()
    with pytest.raises(PeerDeniedError, match="start --once needs role admin for web"):
        commands.once(operator, ["-x"], [WEB])
    assert commands.once(grant(uid=0), ["-x", "a b"], [WEB]) == ("-x", "a b")
    with pytest.raises(ArgumentsError, match="--once: an argument holds a zero byte"):
        commands.once(grant(uid=0), ["a\0b"], [WEB])


def test_an_action_may_need_the_role_of_an_administrator() -> None:
    actions = (ActionSpec("poke", ""), ActionSpec("make-pki", "", needs_admin=True))
    daemon = HandBackend(snapshot_of(spec_of("web", actions=actions)))
    operator = grant(AccessRule("operator", uid=1000))
    for action in ("poke", "not-there"):
        commands.check_action(daemon, operator, WEB, action)
        with pytest.raises(PeerDeniedError, match=f"{action} needs role operator for web"):
            commands.check_action(daemon, grant(AccessRule("viewer", uid=1000)), WEB, action)
    with pytest.raises(PeerDeniedError, match="make-pki needs role admin for web"):
        commands.check_action(daemon, operator, WEB, "make-pki")
    commands.check_action(daemon, grant(AccessRule("admin", uid=1000)), WEB, "make-pki")


def test_what_is_started_along_needs_no_role() -> None:
    daemon = backend()
    daemon.touch = Touch(stopped=(WEB,), started=(NET, WEB))
    commands.check(
        daemon,
        grant(AccessRule("operator", uid=1000, services=("web",))),
        Verb.RESTART,
        [WEB],
    )


def test_nothing_begins_during_a_shutdown_but_waiting() -> None:
    daemon = backend()
    daemon.phase = "shutting-down"
    commands.check(daemon, grant(uid=0), Verb.WAIT, [WEB])
    with pytest.raises(commands.ShuttingDownError):
        commands.check(daemon, grant(uid=0), Verb.START, [WEB])


def test_peers_see_what_they_may_look_at() -> None:
    some = grant(AccessRule("viewer", uid=1000, services=("web",)))
    assert [found.spec.name for found in commands.visible(backend(), some)] == ["web"]
    everything = grant(AccessRule("viewer", uid=1000))
    assert len(commands.visible(backend(), everything)) == 5


class Watcher:
    """Keeps what it is told; gives up when told to."""

    def __init__(self, *, gives_up: bool = False) -> None:
        self.events: list[str] = []
        self._gives_up = gives_up

    async def __call__(self, change: Change, /) -> None:
        self.events.append(change.event)
        if self._gives_up:
            raise BrokenPipeError


async def watched(daemon: HandBackend, watcher: Watcher) -> Answer:
    """Start web; one change happens before it is answered."""
    daemon.holds = anyio.Event()

    async def happen() -> None:
        await until(lambda: daemon.waiting and daemon.subscriptions)
        daemon.change("service starting", daemon.by_name[WEB])
        await until(lambda: watcher.events)
        assert daemon.holds is not None
        daemon.holds.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(happen)
        try:
            return await commands.watched(
                daemon, lambda: daemon.ask(Verb.START, [WEB], who="test"), watcher
            )
        except (BrokenPipeError, ActionError) as error:
            caught = error  # raised here, it would come out as a group
    raise caught


async def test_changes_are_told_until_the_answer_comes() -> None:
    daemon, watcher = backend(), Watcher()
    answer = await watched(daemon, watcher)
    assert watcher.events == ["service starting"]
    assert answer.reports[0].result is Result.DONE
    assert daemon.subscriptions == 0


async def test_a_watcher_who_gives_up_ends_the_wait() -> None:
    daemon = backend()
    with pytest.raises(BrokenPipeError):
        await watched(daemon, Watcher(gives_up=True))
    assert (daemon.subscriptions, daemon.waiting) == (0, 0)


async def test_an_error_of_the_command_comes_out_as_itself() -> None:
    daemon = backend()
    daemon.failure = ActionError("it broke")
    with pytest.raises(ActionError):
        await watched(daemon, Watcher())


async def test_waiting_for_stopped_ends_when_all_are() -> None:
    daemon = backend()
    answers: list[Answer] = []

    async def wait() -> None:
        answers.append(await commands.wait_stopped(daemon, [WEB, NET]))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await until(lambda: daemon.subscriptions)
        daemon.change("service stopped", snapshot_of(daemon.by_name[WEB].spec, State.STOPPED))
        await anyio.lowlevel.checkpoint()
        assert not answers
        del daemon.by_name[NET]
        daemon.change("service stopped", daemon.by_name[WEB])
    assert [report.result for report in answers[0].reports] == [Result.DONE, Result.DONE]


async def test_waiting_for_stopped_ends_with_the_daemon() -> None:
    daemon = backend()
    answers: list[Answer] = []

    async def wait() -> None:
        answers.append(await commands.wait_stopped(daemon, [WEB]))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await until(lambda: daemon.subscriptions)
        daemon.end_changes()
    assert answers[0].reports[0].result is Result.FAILED


async def test_a_shutdown_needs_an_admin_and_lasts_until_changes_end() -> None:
    daemon = backend()
    told: list[str | None] = []

    async def watcher(change: Change | None) -> None:
        told.append(change.event if change is not None else None)

    with pytest.raises(PeerDeniedError):
        await commands.end(daemon, grant(AccessRule("operator", uid=1000)), None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commands.end, daemon, grant(uid=0), watcher)
        await until(lambda: told)
        daemon.change("service stopping", daemon.by_name[WEB])
        await until(lambda: len(told) == 2)
        daemon.end_changes()
    assert daemon.ended == [("shutdown", "root")]
    assert told == [None, "service stopping"]


def test_what_a_shutdown_waits_for_is_told_to_those_who_may_look_at_it() -> None:
    daemon = backend()
    assert commands.visible_facts(daemon, grant()).shutdown is None
    daemon.shutdown = shutdown_view()
    for allowed, seen in ((WEB, ["vm"]), (NET, [])):
        viewer = grant(AccessRule("viewer", uid=1000, services=(allowed,)))
        facts = commands.visible_facts(daemon, viewer)
        assert facts.shutdown is not None
        assert [waiting.name for waiting in facts.shutdown.waits] == seen
    everything = commands.visible_facts(daemon, grant(uid=0)).shutdown
    assert everything == shutdown_view()
