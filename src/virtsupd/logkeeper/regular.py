"""Opening files by paths in directories that others can write.

A log's directory may belong to the service's user, who can put anything at any name in it. Root must
not be led elsewhere by that, nor be kept waiting. The readers in `process` refuse the same.
"""

import errno
import os
import stat

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LINK = "a symbolic link, which is not followed"
_SPECIAL = "not a regular file"
_REFUSED = {errno.ELOOP: _LINK, errno.EISDIR: _SPECIAL, errno.ENXIO: _SPECIAL}


def open_regular(path: str, flags: int, mode: int = 0) -> int:
    """Open a regular file that has this name only.

    A symbolic link is not followed, a FIFO or a device is not waited for. A file with other hard
    links is refused too, whoever owns it: it may be one that whoever made the link can neither read
    nor write. Nothing of ours ever has two. The directories on the way are the configuration's.

    Raises:
        OSError: it cannot be opened or is none; the message says what was found.
    """
    try:
        fd = os.open(path, flags | _FLAGS, mode)
    except OSError as error:
        if why := _REFUSED.get(error.errno or 0):
            raise OSError(error.errno, why, path) from error
        raise
    if why := _refusal(os.fstat(fd)):
        os.close(fd)
        raise OSError(errno.EINVAL, why, path)
    return fd


def _refusal(status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return _SPECIAL
    return "a file with other hard links, which may be somebody else's" * (status.st_nlink > 1)
