"""Questions to a daemon of libvirt through virsh and virt-admin, and what to do if it has no answer."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from virtsupd.errors import VirtsupdError
from virtsupd.process.question import QuestionError, asked

ANSWER_SECONDS: Final = 20.0
"""One call takes a fiftieth of a second; libvirtd looks at every QEMU first after its start."""

_NO_ONE: Final = re.compile(
    r"Failed to connect socket to '.*': (Connection refused|No such file or directory)"
)


class DaemonError(VirtsupdError):
    """A daemon of libvirt has not answered, or refused; the message says what to do."""

    code = "libvirt"


def answer(daemon: str, command: Sequence[str]) -> str:
    """Return what virsh or virt-admin prints about a daemon.

    Raises:
        DaemonError: it cannot be reached, does not answer in time, or refuses.
    """
    try:
        return asked(command, timeout_seconds=ANSWER_SECONDS)
    except QuestionError as error:
        raise DaemonError(_reason(daemon, error)) from error


def admin_uri(daemon: str, socket_dir: str) -> str:
    """Return the URI of the socket that manages a daemon whose sockets are in a directory."""
    base = "libvirt" if daemon == "libvirtd" else daemon
    return f"{daemon}:///system?socket={quote(socket_dir)}/{base}-admin-sock"


def _reason(daemon: str, error: QuestionError) -> str:
    if error.is_late:
        return f"{daemon} has not answered for {ANSWER_SECONDS:g} s; virtsupctl why {daemon}"
    if _NO_ONE.search(error.complaint):
        return f"{daemon} does not run, or is only starting; virtsupctl start {daemon}"
    if not error.complaint:
        return f"{error}; it comes with libvirt's client programs (libvirt-clients)"
    lines = [line.removeprefix("error: ") for line in error.complaint.splitlines()]
    return "; ".join(line for line in lines if line.strip())
