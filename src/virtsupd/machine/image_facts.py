"""What a disk image is: its format, its size, and whether QEMU's account can have it."""

import grp
import json
import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtsupd.machine.image_locks import in_use
from virtsupd.machine.image_source import ImageError

_SECONDS: Final = 20.0
_HEAD_BYTES: Final = 512
_MAGIC: Final = b"QFI\xfb"
_BOOT_SIGNATURE: Final = b"\x55\xaa"
_OTHERS: Final = {
    b"KDMV": "VMware's (vmdk)",
    b"# Disk DescriptorFile": "VMware's (vmdk)",
    b"vhdxfile": "Hyper-V's (vhdx)",
    b"conectix": "Virtual PC's (vhd)",
    b"<<< ": "VirtualBox's (vdi)",
    b"\x1f\x8b": "compressed with gzip",
    b"\xfd7zXZ\x00": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"BZh": "compressed with bzip2",
    b"<!": "a page of the web",
    b"<html": "a page of the web",
    b"PK\x03\x04": "a zip archive",
}


class UnfitImageError(ImageError):
    """A machine cannot be started with this image; the message says what to do."""

    code = "unfit-image"


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs QEMU."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What `qemu-img info` says of an image."""

    image_format: str
    virtual_bytes: int
    disk_bytes: int
    backing: str | None
    """The image that it is laid on; None: it stands for itself."""


def account_of(user: str, group: str | None) -> Account:
    """Return what an account may be taken for.

    Raises:
        UnfitImageError: there is no such account or group.
    """
    try:
        found = pwd.getpwnam(user)
    except KeyError as error:
        raise UnfitImageError(f"there is no account {user}, which is to run QEMU") from error
    try:
        gid = found.pw_gid if group is None else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise UnfitImageError(
            f"there is no group {group}, in which {user} is to run QEMU"
        ) from error
    return Account(user, found.pw_uid, gid, tuple(os.getgrouplist(user, gid)))


def demand_fit(path: Path, account: Account, *, is_written: bool, is_booted: bool = True) -> None:
    """Refuse an image that a QEMU would not be let to, or not boot from.

    `is_written` is whether the guest's writes go there.

    Raises:
        UnfitImageError: it is missing, no image, not for that account, or in use.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UnfitImageError(f"cannot use the image {path}: {reason}") from error
    try:
        fault = (
            _not_a_disk(os.fstat(descriptor).st_mode)
            or garbage(os.pread(descriptor, _HEAD_BYTES, 0), is_booted=is_booted)
            or _denied(path, account, is_written=is_written)
            or in_use(descriptor, is_written=is_written)
        )
    finally:
        os.close(descriptor)
    if fault is not None:
        raise UnfitImageError(f"cannot use the image {path}: {fault}")


def _not_a_disk(mode: int) -> str | None:
    if stat.S_ISDIR(mode):
        return "it is a directory"
    is_disk = stat.S_ISREG(mode) or stat.S_ISBLK(mode)
    return None if is_disk else "it is neither a file nor a block device"


def garbage(head: bytes, *, is_booted: bool = True) -> str | None:
    """Return why a disk that begins so is none, or none to boot from; None if it may be."""
    if head.startswith(_MAGIC):
        return None
    known = next((what for magic, what in _OTHERS.items() if head.startswith(magic)), None)
    if known is not None:
        return f"it is {known}; qcow2 and raw images are taken"
    if not head:
        return "it is empty"
    if is_booted and head[510:512] != _BOOT_SIGNATURE:
        return "it does not begin with a boot sector, and is no qcow2"
    return None


def format_of(path: Path) -> str:
    """Return "qcow2" or "raw", by how the image begins.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return "qcow2" if file.read(len(_MAGIC)) == _MAGIC else "raw"


def _denied(path: Path, account: Account, *, is_written: bool) -> str | None:
    """Ask as the account: modes, lists of access and directories above all have their say."""
    tests = ["-r", str(path), "-a", "-w", str(path)] if is_written else ["-r", str(path)]
    if as_account(["test", *tests], account).returncode == 0:
        return None
    how = "read and write" if is_written else "read"
    return f"{account.name}, who runs QEMU, may not {how} it; see namei -l {path}"


def as_account(command: list[str], account: Account) -> subprocess.CompletedProcess[bytes]:
    """Run a command with the rights of an account, if ours let us."""
    rights: dict[str, object] = {}
    if os.geteuid() == 0 and account.uid != 0:
        rights = {"user": account.uid, "group": account.gid, "extra_groups": account.groups}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]  # noqa: S603 - no shell
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
        cwd="/",
        **rights,
    )


def facts_of(path: Path, account: Account, qemu_img: str = "qemu-img") -> Facts:
    """Return what an image says of itself, asked with the rights of QEMU's account.

    It may be in use; what it is laid on is not opened.

    Raises:
        UnfitImageError: it cannot be understood, or there is no qemu-img.
    """
    command = [qemu_img, "info", "-U", "--output=json"]
    try:
        command += ["-f", format_of(path), str(path)]
        done = as_account(command, account)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnfitImageError(f"cannot ask what {path} is: {_words(error)}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise UnfitImageError(f"cannot tell what {path} is: {said}")
    return _parsed(done.stdout, path)


def _parsed(answer: bytes, path: Path) -> Facts:
    try:
        said = json.loads(answer)
        backing = said.get("full-backing-filename", said.get("backing-filename"))
        return Facts(said["format"], said["virtual-size"], said["actual-size"], backing)
    except (ValueError, KeyError, TypeError) as error:
        raise UnfitImageError(f"cannot tell what {path} is: {error}") from error


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'system'}: {(error.strerror or str(error)).lower()}"
    return "no answer in time"
