"""What guests would lose if virtlogd or virtlockd ended: both keep it in descriptors that no successor gets.

Told from the descriptors alone: libvirtd may be down, and then nobody else could say it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from virtsupd.process.far_ends import (
    FarEnds,
    connected_to,
    has_unread_errors,
    with_piped_errors,
    writers_to,
)
from virtsupd.process.holders import Holder, arguments_of, program_of

_NAMED: Final = 10
"""How many guests a message names."""


@dataclass(frozen=True, slots=True)
class ConsoleGuard:
    """virtlogd reads the pipes that guests write their console logs to; what breaks stays broken."""

    def stop_harm(self, pid: int) -> str | None:
        """Return whose logs would be lost for good."""
        logs = self.stop_loss(pid)
        return logs and (
            f"{logs} go through it and would be lost for good; "
            "`virtsupctl reload virtlogd` renews it and keeps them"
        )

    def stop_loss(self, pid: int) -> str | None:
        """Return whose logs those are."""
        who = self._writers(pid)
        return who and f"console logs of {who}"

    def harm_done(self) -> str | None:
        """Return which guests write where nobody reads any more."""
        named = ((pid, guest_name(arguments_of(pid))) for pid in with_piped_errors())
        lost = sorted({name for pid, name in named if name and has_unread_errors(pid)})
        text = "lost when virtlogd last ended, until the guest is started anew"
        return f"console logs of {_listed('guest', lost)} {text}" if lost else None

    def _writers(self, pid: int) -> str | None:
        """Name guests, and whoever else writes: libvirtd while a guest begins, for one."""
        found = writers_to(pid)
        others = [other for other in found.pids if guest_name(arguments_of(other)) is None]
        return _who(found, [str(Holder(other, program_of(other))) for other in others])


@dataclass(frozen=True, slots=True)
class LockGuard:
    """virtlockd holds the locks of guests' disks; each guest keeps a connection to it that says whose they are."""

    def stop_harm(self, pid: int) -> str | None:
        """Return whose locks would be lost."""
        who = self._owners(pid)
        return who and (
            f"it holds locks of disks for {who}, which would be without until started anew; "
            "`virtsupctl reload virtlockd` renews it and keeps them"
        )

    def stop_loss(self, pid: int) -> str | None:
        """Return whose locks those are."""
        who = self._owners(pid)
        return who and f"locks of disks of {who}"

    def harm_done(self) -> str | None:
        """Return None: a guest that has lost its lock looks like one that never had any."""
        return None

    def _owners(self, pid: int) -> str | None:
        """Name guests alone: whoever else is connected (libvirtd, virt-admin) is soon done."""
        return _who(connected_to(pid), [])


def guest_name(arguments: Sequence[str]) -> str | None:
    """Return the name of the guest that a command line of libvirt's QEMU runs; None if it is another."""
    for option, value in pairwise(arguments):
        if option == "-name":
            # In an option of QEMU's, a comma of a value is written twice.
            for word in value.replace(",,", "\0").split(","):
                if word.startswith("guest="):
                    return word.removeprefix("guest=").replace("\0", ",")
    return None


def _who(found: FarEnds, others: Sequence[str]) -> str | None:
    if found.is_blind:
        return "programs that virtsupd may not look at, probably guests,"
    named = (guest_name(arguments_of(pid)) for pid in found.pids)
    guests = sorted({name for name in named if name is not None})
    parts = ([_listed("guest", guests)] if guests else []) + (
        [_listed("", others)] if others else []
    )
    return " and ".join(parts) or None


def _listed(what: str, names: Sequence[str]) -> str:
    """Return "guests a, b"."""
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    plural = "s" if len(names) > 1 else ""
    return f"{what and what + plural + ' '}{', '.join([*names[:_NAMED], *more])}"
