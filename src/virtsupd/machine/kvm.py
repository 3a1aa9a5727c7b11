"""Whether the account that QEMU runs as can open /dev/kvm, asked before QEMU is started."""

import errno
import os
import stat
import struct
from contextlib import suppress
from typing import Final, Literal

from virtsupd.errors import SpawnError

DEVICE: Final = "/dev/kvm"
_ENABLE: Final = "--enable-kvm"
_NEEDED: Final = 0o6
_ACL: Final = "system.posix_acl_access"
_USER, _OWNING_GROUP, _GROUP, _MASK = 0x02, 0x04, 0x08, 0x10
"""Tags of entries, as <linux/posix_acl.h> has them."""


class _Trust:
    """Whether KVM is taken to run guests on this host."""

    is_lost = False


def distrust_kvm() -> None:
    """Let `kvm = "auto"` go without KVM from now on, for as long as this virtsupd lives.

    That the device opens says little where the host is a virtual machine itself.
    """
    _Trust.is_lost = True


def with_kvm(
    command: tuple[str, ...],
    *,
    kvm: bool | Literal["auto"],
    account: tuple[int, frozenset[int]],
) -> tuple[str, ...]:
    """Return QEMU's command line, with `--enable-kvm` if that is wanted and can be.

    `account` is its user's number and those of all its groups.

    Raises:
        SpawnError: KVM is demanded, and cannot be had (stage "kvm").
    """
    if kvm is False or (kvm == "auto" and _Trust.is_lost):
        return command
    why_not = kvm_denied(*account)
    if why_not is None:
        return (*command, _ENABLE)
    if kvm is True:
        raise SpawnError("kvm", f"kvm = true, and {why_not}", is_permanent=True)
    return command


def kvm_denied(uid: int, groups: frozenset[int], device: str = DEVICE) -> str | None:
    """Return why an account cannot open the device for reading and writing; None if it can.

    The device is really opened, for it may be there with nothing behind it, or a container may
    deny it; the account's rights are then judged by its mode and access control list.
    """
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return _why(error, device)
    try:
        found = os.fstat(descriptor)
        if uid in (0, os.geteuid()) or _may_open(descriptor, found, uid, groups):
            return None
    finally:
        os.close(descriptor)
    mode = stat.filemode(found.st_mode)
    text = f"uid {uid} may not open {device} ({mode}, group {found.st_gid})"
    return f"{text}; let the group kvm have it: chgrp kvm {device}; chmod 660 {device}"


def _why(error: OSError, device: str) -> str:
    if error.errno == errno.ENOENT:
        return f"there is no {device}: the kernel's module kvm_intel or kvm_amd is not loaded"
    return f"{device} cannot be opened: {(error.strerror or str(error)).lower()}"


def _may_open(descriptor: int, found: os.stat_result, uid: int, groups: frozenset[int]) -> bool:
    entries, mask = _named(descriptor)
    if uid == found.st_uid:
        return _allows(found.st_mode >> 6)
    if (_USER, uid) in entries:
        return _allows(entries[_USER, uid] & mask)
    of_groups = [
        right & mask for (tag, gid), right in entries.items() if tag == _GROUP and gid in groups
    ]
    if found.st_gid in groups:
        of_groups.append(_owning_group(descriptor, found) & mask)
    return any(map(_allows, of_groups)) if of_groups else _allows(found.st_mode)


def _allows(rights: int) -> bool:
    return rights & _NEEDED == _NEEDED


def _owning_group(descriptor: int, found: os.stat_result) -> int:
    """Return the rights of the owning group; with an access control list the mode shows its mask."""
    for tag, right, _ in _entries(descriptor):
        if tag == _OWNING_GROUP:
            return right
    return found.st_mode >> 3 & 0o7


def _named(descriptor: int) -> tuple[dict[tuple[int, int], int], int]:
    """Return the rights of named users and groups, and the mask on them."""
    named: dict[tuple[int, int], int] = {}
    mask = 0o7
    for tag, right, number in _entries(descriptor):
        if tag in (_USER, _GROUP):
            named[tag, number] = right
        elif tag == _MASK:
            mask = right
    return named, mask


def _entries(descriptor: int) -> list[tuple[int, int, int]]:
    with suppress(OSError, struct.error):
        content = os.getxattr(descriptor, _ACL)
        return list(struct.iter_unpack("<HHI", content[4:]))
    return []
