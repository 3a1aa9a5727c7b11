"""The domains of libvirtd that run, and how each is ended when the host goes down.

All is done by virsh, and level-triggered: a guest has ended when libvirt lists it no more, whatever
became of the commands before. So neither a libvirtd that dies meanwhile nor an event that nobody
heard is taken for an answer, and a virtsupd that comes after a crash can ask all over again.

virsh is given UUIDs alone: it would take a guest named "5" for the one with the number 5, and one
named "--all" for an option.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from urllib.parse import quote

from virtsupd.config.kinds import RunCommand
from virtsupd.core.domain import DomainSpec
from virtsupd.core.shutdown_policy import GuestEnd, RunningGuest
from virtsupd.errors import GuestError
from virtsupd.process.clock import Clock, SystemClock

_URI: Final = "qemu:///system"
"""What services call it whose domains run in it, wherever it has its sockets."""
_LISTED: Final = re.compile(r"([0-9a-f]{8}-[0-9a-f-]{27})(?: (.+))?")
_ANSWER_SECONDS: Final = 30.0
"""For what libvirtd answers by itself: after its start it looks at every QEMU first."""
_PAUSE_SECONDS: Final = 0.5
"""Between two tries with a libvirtd that cannot be reached, or that refuses."""
_FIRST_ASK_SECONDS: Final = 10.0
_WAIT_SECONDS: Final = 10
"""For one event at most, since it may come just before virsh listens for it."""
_SHORT_WAIT_SECONDS: Final = 1
"""The same where something is about to happen: it just stirred, wakes up, or has powered off."""
_REFUSALS: Final = 2
"""One may stem from a libvirtd that died, and was back before it was asked why."""


class _State(Enum):
    """A state that makes a difference, by its number in virDomainState: words are translated."""

    PAUSED = "3"
    ENDING = "4"
    """It has powered off."""
    CRASHED = "6"
    """Its QEMU is kept for somebody to look at it."""
    SLEEPING = "7"


_STATE: Final = re.compile(r"^ *state\.state=(\d+)$", re.MULTILINE)
_STATE_BY_NUMBER: Final = {state.value: state for state in _State}


@dataclass(frozen=True, slots=True)
class LibvirtGuests:
    """The domains that run in one libvirtd."""

    virsh: str
    uri: str
    paused_end: GuestEnd | None = None
    """How a paused guest is ended, which does not hear when it is asked; None: as any other."""
    clock: Clock = field(default_factory=SystemClock, compare=False)

    async def running(
        self, run: RunCommand, services: Collection[DomainSpec]
    ) -> Sequence[RunningGuest]:
        """Return the domains that are active, paused ones included, persistent or not.

        Raises:
            GuestError: libvirtd does not answer.
        """
        listed = await self._virsh(run, "list --uuid --name; list --uuid --state-paused")
        found = [match.groups() for match in map(_LISTED.fullmatch, listed.split("\n")) if match]
        paused = {uuid for uuid, name in found if name is None}
        ending_as_services = {service.domain for service in services if service.uri == _URI}
        return [
            RunningGuest(name, self.paused_end if uuid in paused else None)
            for uuid, name in found
            if name is not None and name not in ending_as_services
        ]

    async def end(self, guest: str, end: GuestEnd, run: RunCommand) -> None:
        """End a domain and return once it is not active.

        It waits for a libvirtd that cannot be reached. When cancelled, what was asked stands: a
        guest goes on powering off, libvirt goes on saving.

        Raises:
            GuestError: libvirt refuses, or the guest has crashed and cannot hear.
        """
        match end:
            case GuestEnd.SHUTDOWN:
                await self._power_off(guest, run)
            case GuestEnd.SAVE:
                await self._command(guest, "managedsave", run)
            case GuestEnd.KILL:
                await self._command(guest, "destroy", run)

    async def _command(self, guest: str, command: str, run: RunCommand) -> None:
        """Have libvirt end a guest by a command that returns when it has."""
        refusals = 0
        while (uuid := await self._find(guest, run)) is not None:
            try:
                await self._virsh(run, f"{command} {uuid}", timeout_seconds=0)
            except GuestError:
                refusals += await self._still_runs(uuid, run)
                if refusals == _REFUSALS:
                    raise
                await self.clock.sleep(_PAUSE_SECONDS)

    async def _power_off(self, guest: str, run: RunCommand) -> None:
        """Ask a guest to power off until it does, with growing pauses.

        One that is still in its firmware or boot loader does not hear the first request. Later ones
        take the agent and ACPI in turns, for an agent that accepts and does nothing.
        """
        ask_at, pause, modes = self.clock.now().monotonic, _FIRST_ASK_SECONDS, ["", " --mode acpi"]
        has_stirred = False
        while (uuid := await self._find(guest, run)) is not None:
            state = await self._state(uuid, run)
            is_due = self.clock.now().monotonic >= ask_at
            is_near = has_stirred or state in {_State.ENDING, _State.SLEEPING}
            wait = _SHORT_WAIT_SECONDS if is_near else _WAIT_SECONDS
            request = _request(state, uuid, modes[0]) if is_due else ""
            if is_due and state is not _State.SLEEPING:
                ask_at, pause = self.clock.now().monotonic + pause, pause * 2
                modes.reverse()
            has_stirred = await self._stirs(uuid, request, wait, run)

    async def _stirs(self, uuid: str, request: str, seconds: int, run: RunCommand) -> bool:
        """Ask and listen in one breath; tell whether something happened in the guest's life.

        A failure is no more than a reason to look again: virsh fails too when nothing happened.
        """
        begin = self.clock.now().monotonic
        event = f"event --domain {uuid} --event lifecycle --timeout {seconds}"
        try:
            await self._virsh(run, request + event, timeout_seconds=seconds + _ANSWER_SECONDS)
        except GuestError:
            if self.clock.now().monotonic < begin + seconds:
                await self.clock.sleep(_PAUSE_SECONDS)
            return False
        return True

    async def _find(self, guest: str, run: RunCommand) -> str | None:
        """Return the UUID of a guest, None if it is not active, once libvirtd answers."""
        while True:
            try:
                listed = await self._virsh(run, "list --uuid --name")
            except GuestError:
                await self.clock.sleep(_PAUSE_SECONDS)
            else:
                found = filter(None, map(_LISTED.fullmatch, listed.split("\n")))
                return next((match[1] for match in found if match[2] == guest), None)

    async def _still_runs(self, uuid: str, run: RunCommand) -> bool:
        """Tell whether libvirtd answers, and that the guest is active."""
        try:
            return uuid in await self._virsh(run, "list --uuid")
        except GuestError:
            return False

    async def _state(self, uuid: str, run: RunCommand) -> _State | None:
        """Return the state of a guest; None: any other, also where it is not to be had.

        Raises:
            GuestError: the guest has crashed.
        """
        try:
            told = _STATE.findall(await self._virsh(run, f"domstats --state {uuid}"))
        except GuestError:
            return None
        state = _STATE_BY_NUMBER.get(told[-1]) if told else None
        if state is _State.CRASHED:
            raise GuestError("it has crashed, and hears nothing")
        return state

    async def _virsh(
        self, run: RunCommand, commands: str, timeout_seconds: float = _ANSWER_SECONDS
    ) -> str:
        """Return what virsh prints for commands with `;` between; the last one's failure counts."""
        return await run([self.virsh, "--quiet", "--connect", self.uri, commands], timeout_seconds)


def local_uri(socket_dir: str) -> str:
    """Return the URI of the libvirtd that has its sockets in a directory, and of no other.

    For "qemu:///system" alone libvirt would look into the directory that it was built with.
    """
    return f"qemu+unix:///system?socket={quote(socket_dir)}/libvirt-sock"


def _request(state: _State | None, uuid: str, mode: str) -> str:
    """Return the commands that ask a guest in a state to power off, each with a `;` behind it."""
    ask = f"shutdown {uuid}{mode}; "
    match state:
        case _State.ENDING:
            return ""
        case _State.PAUSED:
            return f"resume {uuid}; {ask}"
        case _State.SLEEPING:
            return f"dompmwakeup {uuid}; "  # it hears when it is awake, which takes it a moment
        case _:
            return ask
