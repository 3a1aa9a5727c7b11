"""What a virtsupd needs of this host to begin with a configuration, looked at before it does.

There is no way back from an exec into a program that cannot begin. So all that `Daemon` could refuse
is looked at here first, and nothing that a virtsupd at work uses is changed by that.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from virtsupd.config.load import Loaded
from virtsupd.control.listener import check_place
from virtsupd.errors import ConfigError, VirtsupdError
from virtsupd.process.lock import RUN_LOCK, STATE_LOCK
from virtsupd.supervisor.host_files import hindrances
from virtsupd.supervisor.memory import Memory


def refusals(loaded: Loaded, *, as_itself: bool = False) -> tuple[str, ...]:
    """Return why a virtsupd could not begin with a configuration here and now, a line each.

    A virtsupd that is at work in the run directory is no reason. `as_itself` tells that we are what
    would begin; another user who may not write to the state directory cannot tell, and says nothing.
    """
    if not as_itself and not _may_tell(loaded):
        return ()
    return tuple(f"{loaded.path}: {text}" for text in dict.fromkeys(_refusals(loaded)))


def _may_tell(loaded: Loaded) -> bool:
    place = loaded.host.state_dir
    while not os.path.lexists(place):
        place = place.parent
    return os.geteuid() == 0 or os.access(place, os.W_OK | os.X_OK, effective_ids=True)


def _refusals(loaded: Loaded) -> Iterator[str]:
    host = loaded.host
    yield from hindrances(loaded)
    for lock in (host.run_dir / RUN_LOCK, host.state_dir / STATE_LOCK):
        if os.path.lexists(lock) and not stat.S_ISREG(lock.lstat().st_mode):
            yield f"cannot use {lock}: it is no plain file"
    try:
        Memory.load(host.state_dir)
    except (VirtsupdError, OSError) as error:
        yield str(error)
    running = _pid_in(host.run_dir / RUN_LOCK)
    for path in (host.socket, host.herd_socket):
        if path is not None:
            try:
                check_place(path, loaded.access, running=running)
            except ConfigError as error:
                yield from error.problems
            except VirtsupdError as error:
                yield str(error)


def _pid_in(lock: Path) -> int | None:
    """Return the pid of the virtsupd that holds, or held, the run directory."""
    try:
        return int(lock.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
