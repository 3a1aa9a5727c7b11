"""virtsupctl: ask virtsupd, and tell it what to do.

It reaches the daemon through its socket alone. `status` has a budget of 40 ms, so what only other
verbs need is imported when they are used, and nothing is imported for the sake of types.
"""

from __future__ import annotations

import os
import sys

from virtsupd import __version__
from virtsupd.cli import arguments, problems, session, status
from virtsupd.cli.verbs import VERB_BY_NAME
from virtsupd.control.client import Client
from virtsupd.errors import VirtsupdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from virtsupd.cli.arguments import Request
    from virtsupd.cli.session import Session

_INTERRUPTED = 130
_READER_GONE = 141


def main(words: Sequence[str] | None = None) -> int:
    """Carry out a command line (that of the process, if None) and return the exit status."""
    try:
        request = arguments.parse(sys.argv[1:] if words is None else words)
    except arguments.UsageError as error:
        return _complain_about_usage(error)
    if request.help or request.verb.name == "help":
        return _help(request)
    if request.version:
        return _version()
    return _guarded(_session(request))


def _session(request: Request) -> Session:
    path = request.socket or os.environ.get("VIRTSUPD_SOCKET") or session.DEFAULT_SOCKET
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    return session.Session(request, Client(path, request.timeout), sys.stdout, sys.stderr)


def _guarded(run: Session) -> int:
    """Carry out the request; every error becomes a message and an exit status."""
    try:
        _expand_patterns(run)
        code = _verb(run.request)(run)
        run.out.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return _READER_GONE
    except (VirtsupdError, TimeoutError) as error:
        return _fail(run, error)
    except OSError as error:
        _forget_output()
        print(f"virtsupctl: cannot write the answer: {error.strerror}", file=sys.stderr)
        return problems.FAILED
    else:
        return code
    finally:
        run.close()


def _expand_patterns(run: Session) -> None:
    """Put names for patterns, where operands are services; most command lines have none."""
    request = run.request
    takes_services = request.verb.completes == "services" and not request.action
    if takes_services and any(letter in name for name in request.names for letter in "*?["):
        from virtsupd.cli import globs  # noqa: PLC0415  most do without it

        globs.expand(run)


def _verb(request: Request) -> Callable[[Session], int]:
    """Return what carries out the verb of `request`."""
    name = request.verb.name
    if name == "status":
        return status.run
    if name in ("log", "watch"):
        from virtsupd.cli import follow  # noqa: PLC0415  status does without it

        return follow.run
    if name in ("doc", "actions", "cat", "ACTION", "complete-names", "complete-actions"):
        from virtsupd.cli import inquiries  # noqa: PLC0415  status does without it

        return inquiries.run
    return _rarer_verb(name)


def _rarer_verb(name: str) -> Callable[[Session], int]:
    if name == "plan":
        from virtsupd.cli import plan  # noqa: PLC0415  status does without it

        return plan.run
    if name == "why":
        from virtsupd.cli import why  # noqa: PLC0415  status does without it

        return why.run
    if name == "graph":
        from virtsupd.cli import graph  # noqa: PLC0415  status does without it

        return graph.run
    if name == "reexec":
        from virtsupd.cli import reexec  # noqa: PLC0415  status does without it

        return reexec.run
    if name == "completion":
        from virtsupd.cli import completion  # noqa: PLC0415  status does without it

        return completion.run
    from virtsupd.cli import commands  # noqa: PLC0415  status does without it

    return commands.run


def _fail(run: Session, error: VirtsupdError | TimeoutError) -> int:
    message = problems.explain(error, run.request)
    if run.request.json:
        run.say_json({"error": {"code": problems.error_code(error), "message": message}})
    run.complain(f"virtsupctl: {message}")
    return problems.exit_status(error)


def _complain_about_usage(error: arguments.UsageError) -> int:
    from virtsupd.cli import usage  # noqa: PLC0415  only a mistake needs it

    more = f"virtsupctl {error.verb} -h explains it" if error.verb else usage.short()
    print(f"virtsupctl: {error}\n{more}", file=sys.stderr)
    return problems.USAGE


def _help(request: Request) -> int:
    from virtsupd.cli import usage  # noqa: PLC0415  only help needs it

    verb = request.verb
    if verb.name == "help" and request.names:
        name = request.names[0]
        if name not in VERB_BY_NAME:
            hint = arguments.nearest_verb(name)
            mistake = f"there is no verb {name!r}{f'; did you mean {hint}?' if hint else ''}"
            return _complain_about_usage(arguments.UsageError(mistake))
        verb = VERB_BY_NAME[name]
    is_general = verb.name == "help" or request.is_bare
    print(usage.overview() if is_general else usage.of_verb(verb))
    return 0


def _version() -> int:
    print(f"virtsupctl {__version__}")
    return 0


def _forget_output() -> None:
    """Let the interpreter's own last flush go nowhere: the reader is gone."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
