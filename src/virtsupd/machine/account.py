"""The account that a machine's QEMU runs as: made if it is missing, and looked at if it is there."""

import grp
import os
import pwd
import shutil
from collections.abc import Iterator, Sequence
from typing import Final

from virtsupd.errors import VirtsupdError
from virtsupd.process.question import QuestionError, asked

_SECONDS = 60.0
"""What useradd may take: others may hold the lock of the user database."""
_HOME: Final = "/var/empty"
_NOLOGIN: Final = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false")


class AccountError(VirtsupdError):
    """The account is not there and cannot be made, or is none to run a machine as."""

    code = "account"


def see_to_account(user: str, group: str) -> Iterator[str]:
    """Make what is missing of an account and the group that QEMU runs in; yield what was done, in words.

    One that is there stays as it is.

    Raises:
        AccountError: something is missing and cannot be made; the message has the lines to type.
    """
    if not _has_group(group):
        _run(_group_command(group), f"there is no group {group}")
        yield f"made the group {group}"
    if not _has_user(user):
        _run(_user_command(user, group), f"there is no account {user}")
        yield f"made the account {user}, in the group {group}, without a login"


def _has_user(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _has_group(group: str) -> bool:
    try:
        grp.getgrnam(group)
    except KeyError:
        return False
    return True


def _group_command(group: str) -> list[str]:
    if shutil.which("groupadd"):
        return ["groupadd", "--system", group]
    return ["addgroup", "-S", group]  # BusyBox


def _user_command(user: str, group: str) -> list[str]:
    shell = next((path for path in _NOLOGIN if os.access(path, os.X_OK)), _NOLOGIN[0])
    if shutil.which("useradd"):
        return [
            *("useradd", "--system", "--no-create-home", "--home-dir", _HOME),
            *("--shell", shell, "--gid", group, user),
        ]
    return ["adduser", "-S", "-D", "-H", "-h", _HOME, "-s", shell, "-G", group, user]


def _run(command: Sequence[str], why: str) -> None:
    line = " ".join(command)
    if os.geteuid() != 0:
        raise AccountError(f"{why}, and only root can make it; as root: {line}")
    try:
        asked(command, timeout_seconds=_SECONDS)
    except QuestionError as error:
        raise AccountError(f"{why}, and it could not be made: {error}") from error
