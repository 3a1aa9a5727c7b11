"""Who a service runs as: names of the configuration looked up in the user and group databases."""

import grp
import os
import pwd

from virtsupd.core.frozen import frozen
from virtsupd.core.spec import ProcessSpec
from virtsupd.errors import SpawnError


@frozen
class Credentials:
    """The identity of a process, and what its environment says about it."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    """Supplementary groups, sorted; may contain `gid`."""
    home: str
    shell: str
    user_name: str
    """The number as text when the user database has no entry."""


def resolve_credentials(spec: ProcessSpec) -> Credentials:
    """Return whom the service runs as.

    Without a user it is virtsupd's own, with its own groups unless the definition names some. A
    user given by number needs no entry in the database when a group is given too. The databases are
    read at each call, so a user added since then is found.

    Raises:
        SpawnError: a user (stage "user") or group (stage "group") is unknown; permanent.
    """
    entry = None
    if spec.user is None:
        uid = os.geteuid()
        entry = _entry_of_uid(uid)
    else:
        uid, entry = _find_user(spec.user)
    gid = _primary_group(spec, entry)
    return Credentials(
        uid=uid,
        gid=gid,
        groups=_supplementary_groups(spec, entry, gid),
        home=entry.pw_dir if entry else "/",
        shell=(entry.pw_shell if entry else "") or "/bin/sh",
        user_name=entry.pw_name if entry else str(uid),
    )


def group_id(group: str) -> int:
    """Return the number of a group given by name or number.

    Raises:
        SpawnError: the group database has no such name (stage "group"); permanent.
    """
    if group.isascii() and group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise SpawnError(
            "group", f"cannot find group {group!r} in the group database", is_permanent=True
        ) from error


def is_own(credentials: Credentials) -> bool:
    """Tell whether virtsupd itself already runs so, and nothing needs to be changed."""
    return (
        credentials.uid == os.geteuid() == os.getuid()
        and credentials.gid == os.getegid() == os.getgid()
        and set(credentials.groups) == set(os.getgroups())
    )


def _find_user(user: str) -> tuple[int, pwd.struct_passwd | None]:
    if user.isascii() and user.isdigit():
        return int(user), _entry_of_uid(int(user))
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise SpawnError(
            "user", f"cannot find user {user!r} in the user database", is_permanent=True
        ) from error
    return entry.pw_uid, entry


def _entry_of_uid(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def _primary_group(spec: ProcessSpec, entry: pwd.struct_passwd | None) -> int:
    if spec.group is not None:
        return group_id(spec.group)
    if spec.user is None:
        return os.getegid()
    if entry is None:
        raise SpawnError(
            "group",
            f"cannot tell the group of user {spec.user}, which the user database does not know: set group",
            is_permanent=True,
        )
    return entry.pw_gid


def _supplementary_groups(
    spec: ProcessSpec, entry: pwd.struct_passwd | None, gid: int
) -> tuple[int, ...]:
    if spec.supplementary_groups is not None:
        return tuple(sorted({group_id(group) for group in spec.supplementary_groups}))
    if spec.user is None:
        return tuple(sorted(os.getgroups()))
    if entry is None:
        return ()
    return tuple(sorted(set(os.getgrouplist(entry.pw_name, gid))))
