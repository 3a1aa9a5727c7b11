"""Opening logs for reading, in directories that others can write.

Who may look at one service's log must not read root's files through what the service's user put at
its name. The log keeper, which imports nothing from here, refuses the same when it writes.
"""

import errno
import os
import stat

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_regular(path: str) -> int:
    """Return a descriptor to read a regular file that has this name only.

    Neither a symbolic link is followed nor a FIFO waited for. A file with other hard links is
    refused: it may be one that whoever made the link cannot read. No log of ours has any.

    Raises:
        OSError: it cannot be opened or is no such file.
    """
    descriptor = os.open(path, _FLAGS)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file with one name", path)
