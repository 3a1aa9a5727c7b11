"""The root of all errors of virtsupd, and the codes that other programs may rely on."""

from __future__ import annotations

TYPE_CHECKING = False  # what mypy takes for typing's: virtsupctl imports this and nothing slow
if TYPE_CHECKING:
    from typing import ClassVar


class VirtsupdError(Exception):
    """Something virtsupd was asked for cannot be done.

    Subclasses differ by what the caller can do about it. `code` is stable: it goes over the
    wire and tests compare it; the message is for people and may change.
    """

    code: ClassVar[str] = "error"


class ConfigError(VirtsupdError):
    """A configuration, unit file or graph is refused; `problems` holds every reason, one line each.

    Nothing of a refused configuration has taken effect.
    """

    code = "bad-configuration"

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UnknownServiceError(VirtsupdError):
    """A name is neither a service nor a provision."""

    code = "service-not-found"

    def __init__(self, name: str, nearest: str | None = None) -> None:
        hint = f"; did you mean {nearest}?" if nearest else ""
        super().__init__(f"no service is named {name!r}{hint}")
        self.name = name
        self.nearest = nearest


class UnknownActionError(VirtsupdError):
    """A service has no such action."""

    code = "action-not-found"

    def __init__(self, action: str, service: str) -> None:
        super().__init__(f"{service} has no action {action!r}")
        self.action = action
        self.service = service


class ActionError(VirtsupdError):
    """An action of a service was carried out and failed; the message says why."""

    code = "action-failed"


class ArgumentsError(ActionError):
    """An action was not carried out: the words given to it are not its own; the message says which are."""

    code = "usage"


class TransitionError(VirtsupdError):
    """An event reached a lifecycle state that has no answer to it: a defect of virtsupd."""

    code = "impossible-transition"


class SpawnError(VirtsupdError):
    """A process could not be made.

    `stage` names the step that failed ("program", "user", "cgroup", "directory", "exec" …).
    `is_permanent` tells that trying again without a change cannot help: the service is failed
    at once instead of being respawned. No process is left behind.
    """

    code = "spawn-failed"

    def __init__(self, stage: str, message: str, *, is_permanent: bool) -> None:
        super().__init__(message)
        self.stage = stage
        self.is_permanent = is_permanent


class NotReadyError(VirtsupdError):
    """A service did not become ready, or a health probe failed; the message says what was seen."""

    code = "not-ready"


class NoVerdictError(NotReadyError):
    """A probe could not be carried out, which says nothing of the service; the message says why."""

    code = "no-verdict"


class GuestError(VirtsupdError):
    """A guest host cannot tell which guests run, or cannot end one; the message says why."""

    code = "guest-failed"


class ProtocolError(VirtsupdError):
    """A peer sent what is not a message of its language; that connection ends, nothing else."""

    code = "bad-message"


class PeerDeniedError(VirtsupdError):
    """The peer's role does not allow the request."""

    code = "permission-denied"


class UnreachableError(VirtsupdError):
    """No virtsupd answers on the control socket."""

    code = "unreachable"


class ReexecError(VirtsupdError):
    """virtsupd cannot become another program; the message says why. The one at work goes on."""

    code = "reexec-refused"


class ReexecutingError(VirtsupdError):
    """virtsupd is becoming another program; commands that it has taken go on in that one."""

    code = "re-executing"

    def __init__(self) -> None:
        super().__init__("virtsupd re-executes itself; ask again")


class AlreadyRunningError(VirtsupdError):
    """Another virtsupd holds the run directory or the socket."""

    code = "already-running"


def in_one_line(error: Exception) -> str:
    """Return what an error says, in one line, with the file that one of the system is about."""
    if isinstance(error, OSError):
        return f"{error.filename or 'system'}: {(error.strerror or str(error)).lower()}"
    return " ".join(str(error).split())
