"""Interactive actions: virtsupctl becomes the program that the service names, on the terminal it has."""

from __future__ import annotations

import os

from virtsupd.errors import ActionError, PeerDeniedError, VirtsupdError
from virtsupd.process.becoming import become

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from virtsupd.cli.session import Session

_ROOT = 0


class JsonError(VirtsupdError):
    """What is interactive answers on the terminal, not as a document."""

    code = "usage"


def run(session: Session, command: Sequence[str]) -> NoReturn:
    """Become the program; returns only by raising.

    Raises:
        JsonError: --json was asked of virtsupctl itself.
        PeerDeniedError: who listens at the socket is neither root nor the account that asks, and what
            it says is not run with the rights of that account.
        ActionError: the program cannot be run.
    """
    request = session.request
    action, name = request.action, request.names[0]
    if request.json:
        said = f"virtsupctl {action} {name} --json"
        raise JsonError(f"{action} runs on your terminal; if it knows --json: {said}")
    _check_trust(session.client.peer_uid)
    session.out.flush()
    session.close()
    try:
        become(command[0], command)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ActionError(f"cannot run {action} of {name}: {command[0]}: {reason}") from error


def _check_trust(uid: int) -> None:
    if uid not in (_ROOT, os.geteuid()):
        raise PeerDeniedError(
            f"cannot run what account {uid} says, which listens at the socket: "
            "it is neither root nor yours"
        )
