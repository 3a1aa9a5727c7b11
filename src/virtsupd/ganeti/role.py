"""What this node is in its cluster, read from the files that the master hands out to all nodes.

They are /var/lib/ganeti/ssconf_*, one value or one name a line (Ganeti 3.0.2, lib/ssconf.py). A node
that was cut off from its cluster keeps the last it was told.
"""

import os
from enum import StrEnum
from pathlib import Path
from typing import Final

from virtsupd.core.frozen import frozen

_MAX_BYTES: Final = 131072
"""Of one file, as Ganeti itself has it."""


class Role(StrEnum):
    """What a node is."""

    MASTER = "master"
    CANDIDATE = "master candidate"
    MEMBER = "member"
    NONE = "none"
    """It is in no cluster."""


@frozen
class Standing:
    """A node's role, and who the master is."""

    role: Role
    master: str = ""
    """Name of the master; "" if there is none to be known."""
    cluster: str = ""
    """The cluster's name; "" likewise."""

    def __str__(self) -> str:
        """Say it for people: "master of cluster.example"."""
        if self.role is Role.NONE:
            return "in no cluster"
        place = f"{self.role} of {self.cluster}" if self.cluster else str(self.role)
        has_other = self.role is not Role.MASTER and self.master
        return f"{place}, whose master is {self.master}" if has_other else place


def standing(library: Path) -> Standing:
    """Return what this node is by the files below `library`; what cannot be read is not there."""
    master = _value(library, "master_node")
    cluster = _value(library, "cluster_name")
    own = os.uname().nodename
    if not master:
        return Standing(Role.NONE)
    if _is(own, master):
        return Standing(Role.MASTER, master, cluster)
    candidates = _text(library, "master_candidates").split()
    is_candidate = any(_is(own, name) for name in candidates)
    return Standing(Role.CANDIDATE if is_candidate else Role.MEMBER, master, cluster)


def _is(own: str, name: str) -> bool:
    """Whether a node's full name is that of this host, which may be set to the first part of it."""
    return own == name or ("." not in own and name.partition(".")[0] == own)


def _value(library: Path, name: str) -> str:
    return _text(library, name).strip()


def _text(library: Path, name: str) -> str:
    try:
        with (library / f"ssconf_{name}").open("rb") as file:
            return file.read(_MAX_BYTES).decode(errors="replace")
    except OSError:
        return ""
