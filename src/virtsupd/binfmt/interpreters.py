"""QEMU's user-mode emulators: which program is to run those of a platform.

Debian 12, Fedora, Arch and Void call the static ones /usr/bin/qemu-NAME-static; Debian from 13 on,
Alpine, openSUSE, Gentoo (built static-user) and Guix (output static) call them qemu-NAME, which is the
name of dynamic ones elsewhere. So a file is looked at, not trusted by its name.
"""

import os
import stat
from collections.abc import Iterator
from typing import Final

from virtsupd.binfmt.distributions import installation
from virtsupd.binfmt.elf import Elf, ElfError, open_regular, read_open
from virtsupd.binfmt.platforms import QemuPlatform
from virtsupd.binfmt.recognition import is_native
from virtsupd.errors import VirtsupdError

DIRECTORIES: Final = ("/usr/bin", "/usr/local/bin", "/run/current-system/profile/bin")
"""Where distributions and Guix keep programs."""
_HEAD_BYTES: Final = 256


class InterpreterError(VirtsupdError):
    """No emulator can be had for a platform; the message says what there is, and the next step."""

    code = "no-interpreter"


class _UnfitError(VirtsupdError):
    """A file is none that could be entered; the message says why."""

    code = "unfit"


def find(platform: QemuPlatform, prefix: str | None, *, is_fixed: bool) -> str:
    """Return the path of the emulator for a platform, as it was found: links are not followed.

    It is sought in the bin of the prefix, or where distributions put it. One that is opened at its
    registration (`is_fixed`, flag F) has to be static: in another root its libraries are not there.

    Raises:
        InterpreterError: there is none that serves.
    """
    unfit = []
    for path in _candidates(platform, prefix):
        try:
            _check(path, is_fixed=is_fixed)
        except FileNotFoundError:
            continue
        except (_UnfitError, ElfError) as error:
            unfit.append(f"{path}: {error}")
        except OSError as error:
            unfit.append(f"{path}: {(error.strerror or str(error)).lower()}")
        else:
            return path
    raise InterpreterError(f"{platform.name!r}: {_nothing(platform, prefix, unfit, is_fixed)}")


def check(path: str, *, is_fixed: bool) -> None:
    """See that a file can run programs, and, if it is opened at its registration, in every root.

    Raises:
        InterpreterError: it cannot; the message names it.
    """
    try:
        _check(path, is_fixed=is_fixed)
    except (_UnfitError, ElfError) as error:
        raise InterpreterError(f"{path}: {error}") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InterpreterError(f"{path}: {reason}") from error


def _candidates(platform: QemuPlatform, prefix: str | None) -> Iterator[str]:
    directories = DIRECTORIES if prefix is None else (_bin_of(prefix),)
    for name in (f"qemu-{platform.qemu}-static", f"qemu-{platform.qemu}"):
        for directory in directories:
            yield f"{directory}/{name}"


def _bin_of(prefix: str) -> str:
    """Return the directory of a prefix that has programs, if a line for the kernel can hold it."""
    if not prefix.startswith("/"):
        raise InterpreterError(f"{prefix!r} is no absolute path: the kernel resolves no other")
    if ":" in prefix or not prefix.isprintable():
        raise InterpreterError(
            f"{prefix!r} has a character that cannot be entered: a colon, or one that is not visible"
        )
    return f"{prefix.rstrip('/')}/bin"


def _check(path: str, *, is_fixed: bool) -> None:
    descriptor = open_regular(path)
    try:
        mode = os.fstat(descriptor).st_mode
        if not mode & 0o111:
            raise _UnfitError("is not executable")
        if mode & stat.S_IWOTH:
            raise _UnfitError("everybody may write to it, and so into what all others run")
        head = os.pread(descriptor, _HEAD_BYTES, 0)
        if head.startswith(b"#!") and not is_fixed:
            return
        found = read_open(descriptor)
    finally:
        os.close(descriptor)
    _check_elf(found, head, is_fixed=is_fixed)


def _check_elf(found: Elf, head: bytes, *, is_fixed: bool) -> None:
    if not found.is_program:
        raise _UnfitError(f"is {found.type_name}")
    if not is_native(head):
        raise _UnfitError(f"is itself a program for another machine ({found.text})")
    if is_fixed and found.loader is not None:
        raise _UnfitError(f"is linked dynamically and needs {found.loader}")


def _nothing(
    platform: QemuPlatform,
    prefix: str | None,
    unfit: list[str],
    is_fixed: bool,
) -> str:
    """Return why nothing serves, and what to do."""
    qemu = platform.qemu
    place = ", ".join(DIRECTORIES) if prefix is None else _bin_of(prefix)
    why = (
        "; ".join(unfit)
        if unfit
        else f"there is neither qemu-{qemu}-static nor qemu-{qemu} in {place}"
    )
    if is_fixed and any("linked dynamically" in reason for reason in unfit):
        why += "; with flag F it has to be static, since in another root its libraries are missing"
    if prefix is not None:
        return f"{why}; set qemu to a prefix that has it, or leave qemu out and {installation(platform)}"
    return f"{why}; {installation(platform)}"
