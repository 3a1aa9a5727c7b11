"""`python -m virtsupd.binfmt.mount [DIRECTORY]`: see to it that the kernel's table is mounted there.

It is mounted where nothing is, and left alone where it is there. In a user namespace that is not the
first one, what is there may be the table of the host, in which the namespace's root could write; and
from Linux 6.7 on there is one of its own. That one is mounted over the other. Nothing is ever unmounted: by the
time somebody asks for that, others may have entered something.
"""

import ctypes
import errno
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from virtsupd.binfmt.entries import BinfmtError
from virtsupd.binfmt.settings import DIRECTORY

_FILE_SYSTEM: Final = "binfmt_misc"
_FIRST_NAMESPACE: Final = 0xEFFFFFFD
"""The inode of the user namespace that the host began with (the kernel's PROC_USER_INIT_INO)."""
_OWN_TABLES_SINCE: Final = (6, 7)
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 0x2, 0x4, 0x8
_MODPROBE_SECONDS: Final = 10.0

_libc = ctypes.CDLL(None, use_errno=True)


class _MountedError(BinfmtError):
    """The same table is what lies there (mount(2): EBUSY)."""


def see_to(directory: Path) -> str:
    """Have the table mounted and return what was done, in words.

    Raises:
        BinfmtError: that cannot be had; nothing was changed.
    """
    if is_first_namespace():
        return _in_the_first(directory)
    return _in_another(directory)


def is_mounted(directory: Path) -> bool:
    """Whether the table is mounted there; an automounter is made to do it."""
    # An entry of this name is in no other file system, and to look for it wakes an automounter.
    return (directory / "register").exists()


def is_first_namespace() -> bool:
    """Whether we are in the user namespace that the host began with.

    Its map of users does not tell: that of a container can have all of them, too.
    """
    return Path("/proc/self/ns/user").stat().st_ino == _FIRST_NAMESPACE


def has_own_tables(release: str) -> bool:
    """Whether user namespaces have tables of their own in that version of Linux, such as "6.12.5"."""
    numbers = [int(part) for part in re.findall("[0-9]+", release)[:2]]
    return tuple(numbers) >= _OWN_TABLES_SINCE


def _is_writable(directory: Path) -> bool:
    return is_mounted(directory) and os.access(directory / "register", os.W_OK)


def _in_the_first(directory: Path) -> str:
    if is_mounted(directory):
        return f"{directory}: was mounted"
    if not directory.is_dir():
        _load_module()
    _mount(directory)
    return f"{directory}: mounted"


def _in_another(directory: Path) -> str:
    try:
        _mount(directory)
    except _MountedError:
        return f"{directory}: was mounted"
    except BinfmtError:
        # What is seen is the table of the host. Before Linux 6.7 there is no other one.
        if has_own_tables(os.uname().release) or not _is_writable(directory):
            raise
        return f"{directory}: was mounted; this user namespace can have none of its own"
    return f"{directory}: mounted for this user namespace"


def _mount(directory: Path) -> None:
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    source = _FILE_SYSTEM.encode()
    if _libc.mount(source, os.fsencode(directory), source, flags, None) == 0:
        return
    number = ctypes.get_errno()
    kind = _MountedError if number == errno.EBUSY else BinfmtError
    raise kind(f"cannot mount binfmt_misc at {directory}: {_reason(number)}")


def _reason(number: int) -> str:
    reasons = {
        errno.ENODEV: "this kernel has no binfmt_misc (CONFIG_BINFMT_MISC)",
        errno.ENOENT: "the kernel has not made the directory: no module binfmt_misc for this kernel; "
        "in a container, load it on the host: modprobe binfmt_misc",
        errno.EPERM: "not permitted: it takes CAP_SYS_ADMIN; in a user namespace also Linux 6.7, and a mount "
        "namespace of its own, such as unshare --user --map-root-user --mount makes",
    }
    return reasons.get(number, os.strerror(number).lower())


def _load_module() -> None:
    """Try to; the mount that comes next says what is missing."""
    program = shutil.which("modprobe", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is not None:
        command = [program, "-q", _FILE_SYSTEM]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, check=False, timeout=_MODPROBE_SECONDS)  # noqa: S603 - a fixed command


def main() -> int:
    """Do it and say what was done; return the exit status."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else DIRECTORY)
    try:
        sys.stdout.write(f"{see_to(directory)}\n")
    except (BinfmtError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
