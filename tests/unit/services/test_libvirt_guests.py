"""What virsh is told when the host goes down; with real guests: component/test_libvirt_shutdown.py."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from virtsupd.core.domain import DomainSpec
from virtsupd.core.events import Instant
from virtsupd.core.shutdown_policy import GuestEnd, RunningGuest
from virtsupd.errors import GuestError
from virtsupd.services.libvirt_guests import LibvirtGuests, local_uri

URI = "qemu+unix:///system?socket=/run/libvirt/libvirt-sock"
RUNNING, PAUSED, ENDING, OFF, CRASHED, SLEEPING = "1", "3", "4", "5", "6", "7"


@dataclass(slots=True)
class HandClock:
    """Time passes when somebody sleeps."""

    at: float = 0.0
    on_sleep: Callable[[], None] = lambda: None

    def now(self) -> Instant:
        return Instant(self.at, self.at)

    async def sleep(self, seconds: float) -> None:
        self.at += seconds
        self.on_sleep()


@dataclass(slots=True)
class HandLibvirt:
    """A virsh of which a test decides what becomes of each request; waiting for events takes its time."""

    clock: HandClock = field(default_factory=HandClock)
    states: dict[str, str] = field(default_factory=dict)
    """By name, of the active ones."""
    asked: list[tuple[float, str]] = field(default_factory=list)
    """When, and what, but for questions."""
    on_request: Callable[[str, str], None] = lambda _command, _name: None
    """Called with the command and the guest's name; what it raises is virsh's failure."""
    waits: list[int] = field(default_factory=list)
    """For events, in seconds."""
    on_event: Callable[[int], bool] = lambda _number: False
    """Called when such a wait is over, with its number; tells whether there was an event."""
    is_down: bool = False

    def uuid(self, name: str) -> str:
        return f"{name.encode().hex():0>8}"[:8] + "-1111-2222-3333-444444444444"

    async def __call__(self, command: Sequence[str], timeout_seconds: float) -> str:
        program, *options, commands = command
        assert (program, options) == ("virsh", ["--quiet", "--connect", URI])
        if self.is_down:
            raise GuestError("Failed to connect socket")
        found = ""
        error: GuestError | None = None
        for each in commands.split("; "):
            try:
                error = None
                found += self._one(each)
            except GuestError as refusal:
                error = refusal  # virsh goes on with the next, and fails as the last does
        if error is not None:
            raise error
        return found

    def _one(self, command: str) -> str:
        verb, *words = command.split()
        match verb, words:
            case "list", [*options]:
                return self._listed(options)
            case "domstats", ["--state", uuid]:
                return f"Domain: 'x'\n  state.state={self.states[self._name(uuid)]}\n\n"
            case "event", ["--domain", _, "--event", "lifecycle", "--timeout", seconds]:
                return self._event(int(seconds))
            case _, [uuid, *_]:
                name = self._name(uuid)
                self.asked.append((self.clock.at, command.replace(uuid, name)))
                self.on_request(verb, name)
                return ""
            case _:
                raise AssertionError(command)

    def _name(self, uuid: str) -> str:
        for name in self.states:
            if self.uuid(name) == uuid:
                return name
        raise GuestError(f"failed to get domain '{uuid}'")

    def _listed(self, options: list[str]) -> str:
        names = self.states
        if "--state-paused" in options:
            names = {name: state for name, state in names.items() if state == PAUSED}
        suffix = " {0}" if "--name" in options else ""
        return "".join(self.uuid(n) + suffix.format(n) + "\n" for n in names) + "\n"

    def _event(self, seconds: int) -> str:
        self.clock.at += seconds
        self.waits.append(seconds)
        if self.on_event(len(self.waits)):
            return "event 'lifecycle' for domain 'x': Shutdown Finished\n"
        raise GuestError("events received: 0")

    def guests(self, paused_end: GuestEnd | None = None) -> LibvirtGuests:
        return LibvirtGuests("virsh", URI, paused_end, self.clock)


def libvirt(**states: str) -> HandLibvirt:
    return HandLibvirt(states=states)


def ends(found: HandLibvirt, at_request: int = 1) -> Callable[[str, str], None]:
    """Return what ends a guest at the request of that number."""
    count = itertools.count(1)

    def on_request(_command: str, name: str) -> None:
        if next(count) == at_request:
            del found.states[name]

    return on_request


async def test_active_domains_are_found_but_for_services() -> None:
    names = ("a b", "--all", "u\u2028v", "5", "ünï\"q'", " x ")
    found = HandLibvirt(states=dict.fromkeys((*names, "service"), RUNNING))
    services = [DomainSpec("service"), DomainSpec("5", uri="qemu:///elsewhere")]
    assert await found.guests().running(found, services) == [RunningGuest(name) for name in names]


async def test_paused_guests_end_in_their_own_way() -> None:
    found = libvirt(a=RUNNING, b=PAUSED)
    guests = found.guests(paused_end=GuestEnd.SAVE)
    assert await guests.running(found, ()) == [RunningGuest("a"), RunningGuest("b", GuestEnd.SAVE)]


async def test_a_libvirtd_that_does_not_answer_is_not_one_without_guests() -> None:
    with pytest.raises(GuestError, match="connect"):
        await HandLibvirt().guests().running(HandLibvirt(is_down=True), ())


@pytest.mark.parametrize("name", ["a b ", "u\u2028v", "5", "--all", "x\r"])
async def test_a_guest_is_known_by_its_name_however_odd(name: str) -> None:
    found = HandLibvirt(states={"other": RUNNING, name: RUNNING})
    found.on_request = ends(found)
    [_, guest] = await found.guests().running(found, ())
    await found.guests().end(guest.name, GuestEnd.KILL, found)
    assert list(found.states) == ["other"]


@pytest.mark.parametrize("end", GuestEnd)
async def test_a_guest_that_has_ended_is_no_error(end: GuestEnd) -> None:
    found = libvirt(other=RUNNING)
    await found.guests().end("a", end, found)
    assert found.asked == []


@pytest.mark.parametrize(
    ("end", "command"),
    [
        (GuestEnd.SHUTDOWN, "shutdown a"),
        (GuestEnd.SAVE, "managedsave a"),
        (GuestEnd.KILL, "destroy a"),
    ],
)
async def test_a_guest_is_ended_by_its_uuid(end: GuestEnd, command: str) -> None:
    found = libvirt(a=RUNNING, other=RUNNING)
    found.on_request = ends(found)
    await found.guests().end("a", end, found)
    assert [what for _, what in found.asked] == [command]
    assert list(found.states) == ["other"]


async def test_a_guest_that_did_not_hear_is_asked_again_in_growing_intervals() -> None:
    found = libvirt(a=RUNNING)
    found.on_request = ends(found, at_request=4)
    await found.guests().end("a", GuestEnd.SHUTDOWN, found)
    assert found.asked == [
        (0.0, "shutdown a"),
        (10.0, "shutdown a --mode acpi"),
        (30.0, "shutdown a"),
        (70.0, "shutdown a --mode acpi"),
    ]


@pytest.mark.parametrize(
    ("state", "before", "at"),
    [(PAUSED, ["resume a"], 0.0), (SLEEPING, ["dompmwakeup a"], 1.0), (OFF, [], 0.0)],
)
async def test_a_guest_that_cannot_hear_is_made_to_first(
    state: str, before: list[str], at: float
) -> None:
    found = libvirt(a=state)

    def on_request(command: str, name: str) -> None:
        found.states[name] = RUNNING
        if command == "shutdown":
            del found.states[name]

    found.on_request = on_request
    await found.guests().end("a", GuestEnd.SHUTDOWN, found)
    assert [what for _, what in found.asked] == [*before, "shutdown a"]
    assert found.asked[-1][0] == at


async def test_a_guest_that_has_powered_off_is_not_asked_and_soon_looked_at_again() -> None:
    found = libvirt(a=ENDING)

    def on_event(number: int) -> bool:
        if number == 3:
            found.states.clear()
        return False

    found.on_event = on_event
    await found.guests().end("a", GuestEnd.SHUTDOWN, found)
    assert (found.waits, found.asked) == ([1, 1, 1], [])


async def test_the_end_of_a_guest_that_stirs_is_seen_soon_though_its_event_is_missed() -> None:
    found = libvirt(a=RUNNING)

    def on_event(number: int) -> bool:
        if number == 2:
            found.states.clear()
        return number == 1

    found.on_event = on_event
    await found.guests().end("a", GuestEnd.SHUTDOWN, found)
    assert found.waits == [10, 1]


async def test_a_crashed_guest_cannot_be_asked() -> None:
    found = libvirt(a=CRASHED)
    with pytest.raises(GuestError, match="crashed"):
        await found.guests().end("a", GuestEnd.SHUTDOWN, found)


@pytest.mark.parametrize("end", [GuestEnd.SAVE, GuestEnd.KILL])
async def test_what_libvirt_refuses_is_told_in_its_words(end: GuestEnd) -> None:
    found = libvirt(a=RUNNING)

    def refuse(command: str, name: str) -> None:
        raise GuestError(f"cannot {command} {name}")

    found.on_request = refuse
    with pytest.raises(GuestError, match=r"^cannot (managedsave|destroy) a$"):
        await found.guests().end("a", end, found)
    assert len(found.asked) == 2, "one more try: the first may have met a libvirtd that died"


@pytest.mark.parametrize("end", GuestEnd)
async def test_a_libvirtd_that_dies_meanwhile_refuses_nothing(end: GuestEnd) -> None:
    found = libvirt(a=RUNNING)
    requests = itertools.count()

    def lost(_command: str, name: str) -> None:
        if next(requests) < 5:
            found.is_down = True
            raise GuestError("client socket is closed")
        del found.states[name]

    def returns() -> None:
        found.is_down = False

    found.on_request, found.clock.on_sleep = lost, returns
    await found.guests().end("a", end, found)
    assert len(found.asked) == 6


def test_a_socket_directory_of_ones_own_is_named() -> None:
    assert local_uri("/run/libvirt") == URI
    assert local_uri("/srv/a b&c") == "qemu+unix:///system?socket=/srv/a%20b%26c/libvirt-sock"
