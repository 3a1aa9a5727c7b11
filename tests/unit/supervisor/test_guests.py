"""Guest hosts are asked and told in child tasks; what comes of it is posted, whatever it is."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from tests.support.supervising import SECONDS, service, supervising
from tests.support.whole_daemon import SERVICE, write_host

from virtsupd.config.kinds import GuestHost, RunCommand
from virtsupd.config.load import Loaded, load
from virtsupd.core.domain import DomainSpec
from virtsupd.core.effects import EndGuest, FindGuests
from virtsupd.core.events import GuestEnded, GuestsFound
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd, RunningGuest
from virtsupd.errors import GuestError
from virtsupd.services.registry import KINDS
from virtsupd.supervisor.commands import Commands
from virtsupd.supervisor.guests import Guests, NoGuests

pytestmark = pytest.mark.process

WEB = Name("web")
_GUEST = '\n[service.db]\ndomain = "db1"\n'
Posted = list[GuestsFound | GuestEnded]


@dataclass(slots=True)
class HandHost:
    """A guest host that does as the test says."""

    command: Sequence[str] = ()
    """Run by `running`; its output names the guests."""
    seconds: float = SECONDS
    failure: Exception | None = None
    holds: bool = False
    """`end` does not return by itself."""
    ended: list[tuple[str, GuestEnd]] = field(default_factory=list)
    services: Collection[DomainSpec] = ()
    """What `running` was told."""

    async def running(
        self, run: RunCommand, services: Collection[DomainSpec]
    ) -> Sequence[RunningGuest]:
        self.services = services
        if self.failure is not None:
            raise self.failure
        return [RunningGuest(name) for name in (await run(self.command, self.seconds)).split()]

    async def end(self, guest: str, end: GuestEnd, run: RunCommand) -> None:
        self.ended.append((guest, end))
        if self.failure is not None:
            raise self.failure
        if self.holds and end is not GuestEnd.KILL:
            await anyio.sleep_forever()


def loaded(directory: Path, host: GuestHost | None) -> Loaded:
    found = load(write_host(directory, SERVICE + _GUEST), KINDS)
    return replace(found, guest_hosts={WEB: host} if host is not None else {})


async def posted_by(
    directory: Path,
    host: GuestHost | None,
    *effects: FindGuests | EndGuest,
    seen: Collection[DomainSpec] = (),
) -> Posted:
    """Return what is posted for the effects; as many as there are of `find`, and of guests."""
    posted: Posted = []
    wanted = len({(type(effect), getattr(effect, "guest", "")) for effect in effects})
    configuration = loaded(directory, host)
    async with supervising(service()) as s, anyio.create_task_group() as tasks:
        guests = Guests(
            lambda: configuration,
            seen=lambda: seen,
            commands=Commands(s.launcher, s.reaper),
            tasks=tasks,
        )
        for effect in effects:
            if isinstance(effect, FindGuests):
                guests.find(effect, posted.append)
            else:
                guests.end(effect, posted.append)
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(SECONDS):
            while len(posted) < wanted:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert not guests._ends
    return posted


FIND = FindGuests(WEB)


async def test_what_a_host_says_is_posted(tmp_path: Path) -> None:
    host = HandHost(["/bin/echo", "vm1 vm2"])
    assert await posted_by(tmp_path, host, FIND) == [
        GuestsFound(WEB, (RunningGuest("vm1"), RunningGuest("vm2")))
    ]
    assert not host.services


async def test_a_guest_that_is_seen_as_a_service_ends_as_that(tmp_path: Path) -> None:
    host = HandHost(["/bin/echo", "vm1"])
    await posted_by(tmp_path, host, FIND, seen=[DomainSpec("db1")])
    assert set(host.services) == {DomainSpec("db1")}


async def test_a_guest_whose_service_never_saw_it_ends_by_its_policy(tmp_path: Path) -> None:
    """Nobody else would end it."""
    host = HandHost(["/bin/echo", "db1"])
    assert await posted_by(tmp_path, host, FIND) == [
        GuestsFound(WEB, (RunningGuest("db1", GuestEnd.SHUTDOWN, 300.0),))
    ]


@pytest.mark.parametrize(
    ("host", "why"),
    [
        (None, "no longer in the configuration"),
        (HandHost(failure=GuestError("no such socket")), "no such socket"),
        (HandHost(failure=RuntimeError("odd")), "a defect of virtsupd: RuntimeError('odd')"),
        (HandHost(["/bin/sh", "-c", "echo no; exit 3"]), "/bin/sh exited with code 3: no"),
        (HandHost(["/bin/sleep", "1000"], seconds=0.05), "/bin/sleep: no end within 0.05 s"),
        (HandHost(["/nonexistent/x"]), "cannot run /nonexistent/x: no such program"),
    ],
)
async def test_a_host_that_cannot_say_costs_nothing_but_its_answer(
    tmp_path: Path, host: HandHost | None, why: str
) -> None:
    (found,) = await posted_by(tmp_path, host, FIND)
    assert isinstance(found, GuestsFound)
    assert found.guests == ()
    assert found.why is not None
    assert found.why.startswith(why)


async def test_the_end_of_a_guest_is_posted(tmp_path: Path) -> None:
    host = HandHost()
    end = EndGuest(WEB, "vm", GuestEnd.SAVE)
    assert await posted_by(tmp_path, host, end) == [GuestEnded(WEB, "vm", GuestEnd.SAVE)]
    assert host.ended == [("vm", GuestEnd.SAVE)]


async def test_a_guest_that_cannot_be_ended_so_is_posted(tmp_path: Path) -> None:
    host = HandHost(failure=GuestError("no ACPI"))
    end = EndGuest(WEB, "vm", GuestEnd.SHUTDOWN)
    assert await posted_by(tmp_path, host, end) == [
        GuestEnded(WEB, "vm", GuestEnd.SHUTDOWN, "no ACPI")
    ]


async def test_a_harder_way_voids_the_one_before(tmp_path: Path) -> None:
    host = HandHost(holds=True)
    soft, hard = (EndGuest(WEB, "vm", end) for end in (GuestEnd.SHUTDOWN, GuestEnd.KILL))
    assert await posted_by(tmp_path, host, soft, hard) == [GuestEnded(WEB, "vm", GuestEnd.KILL)]
    assert host.ended == [("vm", GuestEnd.SHUTDOWN), ("vm", GuestEnd.KILL)]


def test_where_nobody_knows_of_guests_that_is_said() -> None:
    posted: Posted = []
    NoGuests().find(FIND, posted.append)
    NoGuests().end(EndGuest(WEB, "vm", GuestEnd.KILL), posted.append)
    assert [found.why for found in posted] == ["nothing is known of its guests"] * 2
