"""What libvirt's words for the state of a domain mean for a service."""

from typing import Final

from virtsupd.core.domain import GuestNote
from virtsupd.core.exits import ExitStatus
from virtsupd.process.domains import DomainNews, DomainState

_FAILED: Final = 1
_ENDS: Final = {
    "shutdown": (0, "the guest powered off"),
    "destroyed": (0, "was destroyed"),
    "saved": (0, "was saved"),
    "migrated": (0, "was migrated to another host"),
    "from snapshot": (0, "was reverted to a snapshot in which it is off"),
    "crashed": (_FAILED, "crashed"),
    "failed": (_FAILED, "failed"),
}
"""By libvirt's reason (virDomainShutoffReason, virsh domstate --reason): whether respawn is for it."""
_IN_TRANSIT: Final = ("migration", "post-copy", "post-copy failed", "starting up")
"""Why one is paused of which libvirt may not know yet where it will run (virDomainPausedReason). One
that was saved while it was paused counts as migrating, too, until it goes on."""
_NOTES: Final = {
    DomainState.PAUSED: GuestNote.PAUSED,
    DomainState.SUSPENDED: GuestNote.SUSPENDED,
    DomainState.SHUTTING_DOWN: GuestNote.POWERING_OFF,
}


def has_ended(state: DomainState) -> bool:
    """Whether no guest runs in a domain of this state."""
    return state in (DomainState.OFF, DomainState.CRASHED, DomainState.GONE)


def is_in_transit(news: DomainNews | None) -> bool:
    """Whether a guest is there that may run on another host: now, or when its migration has failed."""
    is_paused = news is not None and news.state is DomainState.PAUSED
    return is_paused and news is not None and news.reason in _IN_TRANSIT


def is_here(news: DomainNews | None) -> bool:
    """Whether a guest runs on this host, or is paused, and on no other."""
    return news is not None and not has_ended(news.state) and not is_in_transit(news)


def was_migrated(news: DomainNews) -> bool:
    """Whether a guest that has ended here runs on another host."""
    return news.reason == "migrated"


def end_of(news: DomainNews | None) -> ExitStatus:
    """Return how a guest ended; with code 0 it was meant to."""
    if news is None:
        return ExitStatus(code=_FAILED, words="ended in an unknown way")
    if news.state is DomainState.CRASHED:
        return ExitStatus(code=_FAILED, words="crashed")
    code, words = _ENDS.get(news.reason, (_FAILED, "ended in an unknown way"))
    return ExitStatus(code=code, words=words)


def note_of(news: DomainNews) -> GuestNote | None:
    """Return what is remarkable about a guest that is there."""
    return _NOTES.get(news.state)
