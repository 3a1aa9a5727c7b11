"""Cgroups of services that have stopped: used again by the next start, or removed."""

from virtsupd.core.names import Name
from virtsupd.process.cgroup import Cgroup


class SpareCgroups:
    """What stopped services leave in the tree."""

    def __init__(self) -> None:
        self._idle: dict[Name, Cgroup] = {}
        """To be used again or removed."""
        self._spent: list[Cgroup] = []
        """Not to be used again."""

    def keep(self, name: Name, cgroup: Cgroup, *, is_spent: bool) -> None:
        """Take the cgroup of a run that is over; a spent one was killed as a whole."""
        if is_spent:
            self._spent.append(cgroup)
        else:
            self._idle[name] = cgroup

    def take(self, name: Name) -> Cgroup | None:
        """Give the cgroup of the service's last run to its next one, if it is fit for that."""
        return self._idle.pop(name, None)

    def tidy(self) -> bool:
        """Remove what is empty; return whether that has to be tried again a little later.

        A group cannot be removed for up to a tick after its last process was reaped (Linux 6.18).
        One in which guests or jobs live on is left alone.
        """
        self._idle = {name: group for name, group in self._idle.items() if _lingers(group)}
        self._spent = [group for group in self._spent if _lingers(group)]
        return bool(self._idle or self._spent)


def _lingers(cgroup: Cgroup) -> bool:
    """Remove an empty group; return whether it is empty and yet cannot be removed."""
    return not cgroup.remove() and not cgroup.pids()
