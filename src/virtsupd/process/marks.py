"""The mark of a start: a variable in the environment of its processes that says whose they are.

It proves kinship where no cgroup does. A process may overwrite or clear its environment, and whoever
runs as the same user may copy a mark: it is evidence among processes of one user, and no secret.
"""

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from virtsupd.core.names import Name
from virtsupd.process.lives import Life, life_of, user_of

START = "VIRTSUPD_START"
"""The variable with the mark, which children inherit."""

START_PID = "VIRTSUPD_START_PID"
"""The variable with the pid of the first process: what inherited it has another one."""

_PIDS = (START_PID, "LISTEN_PID")
"""One of them is set; LISTEN_PID where the process is given sockets."""


def mark_for(run_dir: Path, name: Name, generation: int, began: int) -> str:
    """Return the mark of a start: no other one of any virtsupd of this boot has it."""
    return f"{run_dir}:{name}:{generation}:{began}"


def mark_of(pid: int) -> str | None:
    """Return the mark that a process began with; "" if it has none, None if it is hidden or gone."""
    environment = _environment(pid)
    return None if environment is None else environment.get(START, "")


def first_with(mark: str, pids: Iterable[int], *, since: int, user: int) -> Life | None:
    """Return the first process of a start, if it is among these: the one that no other process made.

    Not looked at are those that began before `since`, in clock ticks from the boot, and those that
    run for another than the `user`, by uid.
    """
    for life in _begun(pids, since):
        environment = _environment(life.pid) or {}
        if (
            user_of(life.pid) == user
            and environment.get(START) == mark
            and any(environment.get(name) == str(life.pid) for name in _PIDS)
        ):
            return life
    return None


def oldest_with(
    mark: str, pids: Iterable[int], *, since: int, but: Collection[int | None] = ()
) -> Life | None:
    """Return the process with this mark that began first, lowest pid of one tick; `but` not these."""
    begun = sorted(_begun(pids, since), key=lambda life: (life.started, life.pid))
    return next((life for life in begun if life.pid not in but and mark_of(life.pid) == mark), None)


def _begun(pids: Iterable[int], since: int) -> Iterable[Life]:
    for pid in pids:
        try:
            life = life_of(pid)
        except PermissionError:  # /proc is mounted with hidepid
            continue
        if life is not None and life.started >= since:
            yield life


def _environment(pid: int) -> dict[str, str] | None:
    """Return the variables that a process began with; None if they are hidden or it is gone."""
    parts = []
    try:
        file = os.open(f"/proc/{pid}/environ", os.O_RDONLY | os.O_CLOEXEC)
        try:
            while part := os.read(file, 65536):
                parts.append(part)
        finally:
            os.close(file)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    items = os.fsdecode(b"".join(parts)).split("\0")
    return {name: value for name, _, value in (item.partition("=") for item in items)}
