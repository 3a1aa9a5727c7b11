"""What a program that was executed in place of another one has from it and not yet taken up.

Descriptors go by words: what it is and whose ("notify web"). Each is taken once; what nobody takes is
closed in the end.
"""

import contextlib
import os
from collections.abc import Mapping

from virtsupd.process.reexec import Handover


class Inheritance:
    """A handover, taken up bit by bit. Without one it is empty, and everything is made anew."""

    def __init__(self, handover: Handover | None = None) -> None:
        """Own the descriptors of `handover` until they are taken."""
        self.is_there = handover is not None
        """Whether this process goes on for another program that it was before."""
        self.facts: Mapping[str, object] = handover.facts if handover is not None else {}
        """JSON."""
        self._descriptors = dict(handover.descriptors) if handover is not None else {}

    def take(self, what: str) -> int | None:
        """Return a descriptor, the caller's from now on; None if there is none of these words."""
        return self._descriptors.pop(what, None)

    def take_all(self, kind: str) -> dict[str, int]:
        """Return all descriptors whose first word is `kind`, by the words after it."""
        found = [what for what in self._descriptors if what.startswith(f"{kind} ")]
        return {what.removeprefix(f"{kind} "): self._descriptors.pop(what) for what in found}

    def rename(self, name: str, heir: str) -> None:
        """Let what belongs to one service (the second word) belong to another one."""
        for what in list(self._descriptors):
            kind, _, rest = what.partition(" ")
            whose, space, more = rest.partition(" ")
            if whose == name:
                self._descriptors[f"{kind} {heir}{space}{more}"] = self._descriptors.pop(what)

    def fact(self, name: str) -> Mapping[str, object]:
        """Return a fact that is an object; an empty one if there is no such fact."""
        found = self.facts.get(name)
        return found if isinstance(found, dict) else {}

    def close(self) -> None:
        """Close what nobody has taken."""
        while self._descriptors:
            with contextlib.suppress(OSError):
                os.close(self._descriptors.popitem()[1])
