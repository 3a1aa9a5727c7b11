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
    "crashed": (_FAILED, "crashed"),
    "failed": (_FAILED, "failed"),
}
"""By libvirt's reason (virDomainShutoffReason, virsh domstate --reason): whether respawn is for it."""
_BEGINNINGS: Final = ("booted", "restored", "migrated", "from snapshot")
_NOTES: Final = {
    DomainState.PAUSED: GuestNote.PAUSED,
    DomainState.SUSPENDED: GuestNote.SUSPENDED,
    DomainState.SHUTTING_DOWN: GuestNote.POWERING_OFF,
}


def has_ended(state: DomainState) -> bool:
    """Whether no guest runs in a domain of this state."""
    return state in (DomainState.OFF, DomainState.CRASHED, DomainState.GONE)


def is_beginning(news: DomainNews) -> bool:
    """Whether a guest runs since it began to, and was not only let go on."""
    return news.state is DomainState.RUNNING and news.reason in _BEGINNINGS


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
