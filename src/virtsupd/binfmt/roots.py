"""Files as a process with another root directory sees them, without becoming that process."""

import ctypes
import errno
import os
import struct
from pathlib import Path
from typing import Final

from virtsupd.errors import VirtsupdError

_OPENAT2: Final = 547 if os.uname().machine == "alpha" else 437
_RESOLVE_IN_ROOT: Final = 0x10
_HOW: Final = "QQQ"
"""struct open_how: flags, mode, how to resolve."""

_libc = ctypes.CDLL(None, use_errno=True)


class RootError(VirtsupdError):
    """A directory cannot serve as a root; the message says why."""

    code = "bad-root"


class Root:
    """A directory that stands for "/": links and .. lead nowhere out of it."""

    def __init__(self, path: str) -> None:
        """Open the directory; `close` ends that.

        Raises:
            RootError: it is none, or may not be opened.
        """
        self.path = path
        if not path.startswith("/"):
            raise RootError(f"{path!r} is no absolute path")
        try:
            self._descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise RootError(f"{path}: {(error.strerror or str(error)).lower()}") from error

    @property
    def is_own(self) -> bool:
        """Whether it is the root of the process that asks."""
        return os.path.samestat(os.fstat(self._descriptor), Path("/").stat())

    def close(self) -> None:
        """Let the directory go."""
        os.close(self._descriptor)

    def open(self, path: str) -> int:
        """Return a descriptor that stands for what is at a path, opened for nothing (O_PATH).

        Raises:
            OSError: there is nothing, or the way to it is closed. ENOSYS: this kernel cannot look
                into another root (before Linux 5.6).
        """
        flags = os.O_PATH | os.O_CLOEXEC
        if self.is_own:
            return os.open(path, flags)
        how = ctypes.create_string_buffer(struct.pack(_HOW, flags, 0, _RESOLVE_IN_ROOT))
        size = ctypes.c_size_t(struct.calcsize(_HOW))
        found = _libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(self._descriptor),
            ctypes.c_char_p(os.fsencode(path)),
            how,
            size,
        )
        if found < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        return int(found)

    def has(self, path: str) -> bool:
        """Whether there is something at a path; True also where that cannot be told."""
        try:
            os.close(self.open(path))
        except OSError as error:
            return error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
        return True
