"""What went wrong, as an exit status and as a sentence that says what to do next."""

from __future__ import annotations

import os

from virtsupd.errors import (
    ConfigError,
    PeerDeniedError,
    ProtocolError,
    UnknownActionError,
    UnknownServiceError,
    UnreachableError,
    VirtsupdError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsupd.cli.arguments import Request

FAILED = 1
USAGE = 2
UNKNOWN = 4
DENIED = 5
UNREACHABLE = 6
TIMED_OUT = 7

_STATUS_BY_CODE = {
    ConfigError.code: USAGE,
    "usage": USAGE,
    UnknownServiceError.code: UNKNOWN,
    UnknownActionError.code: UNKNOWN,
    PeerDeniedError.code: DENIED,
    UnreachableError.code: UNREACHABLE,
}


def exit_status(error: VirtsupdError | TimeoutError) -> int:
    """Return virtsupctl's exit status for an error."""
    if isinstance(error, TimeoutError):
        return TIMED_OUT
    return _STATUS_BY_CODE.get(error.code, FAILED)


def error_code(error: VirtsupdError | TimeoutError) -> str:
    """Return the stable code of an error, for --json."""
    return "timed-out" if isinstance(error, TimeoutError) else error.code


def explain(error: VirtsupdError | TimeoutError, request: Request) -> str:
    """Return what went wrong and what to do next."""
    if isinstance(error, TimeoutError):
        is_endless = request.follow or request.verb.name == "watch"
        return "--timeout is over" if is_endless else "no answer in time; see --timeout"
    if isinstance(error, UnknownServiceError):
        return _explain_unknown_service(error, request)
    if isinstance(error, UnknownActionError):
        return _explain_unknown_action(error, request)
    if isinstance(error, UnreachableError):
        return _explain_unreachable(error, request)
    if isinstance(error, ConfigError):
        return _explain_refused_file(error, request)
    return _explain_refusal(error)


def _explain_refusal(error: VirtsupdError) -> str:
    if isinstance(error, PeerDeniedError):
        return _explain_denied(error)
    if isinstance(error, ProtocolError):
        return f"{error}; are virtsupd and virtsupctl of the same version?"
    return str(error)


def _explain_refused_file(error: ConfigError, request: Request) -> str:
    is_plan = request.verb.name == "plan"
    what = "would be refused" if is_plan else "is refused, nothing has changed"
    problems = "".join(f"\n  {problem}" for problem in error.problems)
    return f"the configuration {what}:{problems}"


def _explain_unreachable(error: UnreachableError, request: Request) -> str:
    cause = error.__cause__
    if isinstance(cause, FileNotFoundError):
        return f"{error}; is it running? {_start_hint(request)}"
    if isinstance(cause, ConnectionRefusedError):
        return f"{error}; it has ended and left its socket; {_start_hint(request)}"
    if isinstance(cause, ConnectionResetError):
        return f"{error}; it has just ended, or you have no role: see [access] in its host file"
    return str(error)


def _start_hint(request: Request) -> str:
    """Name the host file only where it is known: another socket belongs to another one."""
    is_usual = not (request.socket or os.environ.get("VIRTSUPD_SOCKET"))
    file = "/etc/virtsupd/host.toml" if is_usual else "FILE, the host file of that socket"
    return f"start it with: virtsupd --config {file}"


def _explain_denied(error: PeerDeniedError) -> str:
    text = str(error)
    if not text.startswith(("permission denied", "cannot")):
        text = f"permission denied: {text}"
    return text if "[access]" in text else f"{text}; see [access] in the host file"


def _explain_unknown_service(error: UnknownServiceError, request: Request) -> str:
    from virtsupd.cli.verbs import ACTION, VERB_BY_NAME  # noqa: PLC0415  only after a mistake

    if error.name in ("root", "shepherd"):
        return f"{error.name} is virtsupd itself: see virtsupctl shutdown, quit and reload"
    if request.verb is ACTION and error.name in VERB_BY_NAME:
        return f"{error}; did you mean: virtsupctl {error.name} {request.action}?"
    return str(error) if error.nearest else f"{error}; virtsupctl status lists them all"


def _explain_unknown_action(error: UnknownActionError, request: Request) -> str:
    from virtsupd.cli.arguments import nearest_verb  # noqa: PLC0415  only after a mistake

    found = nearest_verb(error.action)
    if found:
        words = " ".join([found, *request.names])
        return f"{error}, and it is no verb; did you mean: virtsupctl {words}?"
    return f"{error}; virtsupctl actions {error.service} lists them"
