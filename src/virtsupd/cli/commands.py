"""The verbs that change something: start, stop, restart, reload, enable, disable, wait, shutdown, quit."""

from __future__ import annotations

import time

from virtsupd.cli.arguments import UsageError
from virtsupd.cli.changes import as_event
from virtsupd.cli.graph import Graph
from virtsupd.cli.problems import TIMED_OUT
from virtsupd.cli.progress import Progress, is_moving
from virtsupd.cli.reports import GOOD, merged, report_text
from virtsupd.cli.status import last_lines
from virtsupd.cli.style import harmless
from virtsupd.cli.verbs import VERB_BY_NAME
from virtsupd.errors import ReexecutingError, UnreachableError, VirtsupdError
from virtsupd.times import span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from virtsupd.cli.session import Session
    from virtsupd.cli.wire import Event, Report, Service

INTERRUPTED = 130

_METHODS = {
    "start": ("Start", "starting"),
    "stop": ("Stop", "stopping"),
    "restart": ("Restart", "restarting"),
    "reload": ("ReloadService", "reloading"),
    "enable": ("Enable", "enabling"),
    "disable": ("Disable", "disabling"),
    "trigger": ("Trigger", "triggering"),
    "hold": ("Hold", "holding"),
    "release": ("Release", "releasing"),
    "wait": ("Wait", "waiting for"),
    "shutdown": ("Shutdown", "stopping everything"),
}
_WITH_GUESTS = ("start", "stop", "restart", "reload")
_WITH_FORCE = ("start", "stop", "restart")
_LOG_LINES = 5
_LOOKS = 50
_LOOK_SECONDS = 0.02


def run(session: Session) -> int:
    """Carry out the command and return 0 if every named service came to what was asked."""
    request = session.request
    verb, names = request.verb.name, request.names
    if verb == "reload" and not names:
        return _reload(session)
    if verb == "reload" and (request.restart or request.all):
        raise UsageError("reload takes --restart and --all without names only", verb)
    return _quit(session) if verb == "quit" else _carry_out(session)


def _carry_out(session: Session, beside: dict[str, Any] | None = None) -> int:
    """Carry out the command; `beside` is a document that its own, if JSON is wanted, is added to."""
    method, doing = _METHODS[session.request.verb.name]
    progress = Progress(doing, session.request.names)
    try:
        return _command(session, method, progress, beside or {})
    except KeyboardInterrupt:
        progress.close()
        session.complain(f"virtsupctl: {_still(session, 'interrupted')}")
        return INTERRUPTED
    except TimeoutError:
        progress.close()
        return _give_up(session)
    finally:
        progress.close()


def _command(session: Session, method: str, progress: Progress, beside: dict[str, Any]) -> int:
    concerned = None
    if _shows_progress(session):
        progress.show_on(session.err, session.err_style, verbose=session.request.verbose)
        concerned = _concerned(session, progress)
    last = _follow(session, method, progress, concerned)
    progress.close()
    if session.request.verb.name == "shutdown":
        return _conclude_shutdown(session, last.get("left") or [])
    return _conclude(session, last, beside)


def _shows_progress(session: Session) -> bool:
    request = session.request
    return not request.quiet and (request.verbose or session.err_style.can_redraw)


def _concerned(session: Session, progress: Progress) -> set[str] | None:
    """Return the services that the command can move: what the named ones need, and what needs them.

    virtsupd reports whatever changes meanwhile; what a start or a wait finds under way already,
    `progress` is told here. None: any, or it cannot be known; what is wrong with the names the
    command itself will say.
    """
    if not session.request.names:
        return None
    try:
        services = session.services([])
        graph = Graph(services)
        names = [graph.canonical(name) for name in session.request.names]
    except VirtsupdError:
        return None
    if session.request.verb.name in ("start", "wait"):
        needed = set(graph.closure(names))
        for service in services:
            if service["name"] in needed and is_moving(service):
                progress.update(as_event(service))
    return set(graph.closure([*names, *graph.dependents(names)]))


def _follow(
    session: Session, method: str, progress: Progress, concerned: set[str] | None
) -> dict[str, Any]:
    """Feed `progress` with what concerns it until the last reply, and return that."""
    last: dict[str, Any] = {}
    try:
        for reply in _replies(session, method):
            event: Event | None = reply.get("progress")
            if reply.get("shutdown"):
                progress.waits_for(reply["shutdown"])
            if event and (concerned is None or event["service"]["name"] in concerned):
                progress.update(event)
            last = reply
    except UnreachableError as error:
        if session.request.verb.name != "shutdown" or not _has_ended(session, error):
            raise
    return last


def _replies(session: Session, method: str) -> Iterator[dict[str, Any]]:
    """Yield the replies to the command; if virtsupd re-executes itself, the new one's to what is left.

    Starting, stopping and waiting may be asked twice. A restart that has begun goes on by itself:
    its end is waited for.
    """
    parameters = _parameters(session)
    while True:
        try:
            yield from session.stream(method, parameters)
        except ReexecutingError:
            if method not in ("Start", "Stop", "Wait", "Restart"):
                raise
            session.client.await_end()
        else:
            return
        if method == "Restart":
            method, parameters = "Wait", {"names": session.request.names, "state": "running"}


def _has_ended(session: Session, error: UnreachableError) -> bool:
    """Whether a connection ended because virtsupd did: nobody answers a question any more.

    One that was killed leaves its socket behind, which then refuses; the other removes it.
    """
    if not isinstance(error.__cause__, ConnectionResetError):
        return False
    for _ in range(_LOOKS):
        try:
            session.services([])
        except UnreachableError as now:
            if not isinstance(now.__cause__, ConnectionError):
                return True
            time.sleep(_LOOK_SECONDS)
        else:
            return False
    return False


def _conclude_shutdown(session: Session, left: list[str]) -> int:
    if session.request.json:
        session.say_json({"left": left})
    for what in left:
        session.complain(session.err_style.paint("red", f"left behind: {harmless(what)}"))
    if left:
        return 1
    if not session.request.json:
        session.say("everything is stopped, virtsupd ends")
    return 0


def _parameters(session: Session) -> dict[str, object]:
    request = session.request
    verb = request.verb.name
    parameters: dict[str, object] = {} if verb == "shutdown" else {"names": request.names}
    if verb in _WITH_GUESTS:
        parameters["guests"] = request.guests
    if verb in _WITH_FORCE:
        parameters["force"] = request.force
    if request.once:
        parameters["once"] = list(request.once)
    if verb == "wait":
        parameters["state"] = request.state
    if verb == "hold" and request.seconds is not None:
        parameters["seconds"] = request.seconds
    return parameters


def _conclude(session: Session, last: dict[str, Any], beside: dict[str, Any]) -> int:
    reports: list[Report] = last.get("reports") or []
    touched: list[str] = last.get("touched") or []
    if session.request.json:
        session.say_json({**beside, "reports": reports, "touched": touched})
    for report in merged(session.request.verb.name, reports):
        _tell(session, report)
    _tell_touched(session, reports, touched)
    return 0 if all(report["result"] in GOOD for report in reports) else 1


def _tell(session: Session, report: Report) -> None:
    text = report_text(session.request.verb.name, session.request.state, report)
    if report["result"] in GOOD:
        if not session.request.json:
            session.say(text)
        return
    session.complain(session.err_style.paint("red", text))
    if report["result"] == "failed" and session.request.verb.name in ("start", "restart"):
        _show_output(session, report["name"])


def _tell_touched(session: Session, reports: list[Report], touched: list[str]) -> None:
    named = {report["name"] for report in reports}
    others = [name for name in touched if name not in named]
    if others and not session.request.json:
        phrase = {
            "stop": "also stopped, until it is started again",
            "restart": "also restarted",
        }.get(session.request.verb.name, "stopped, since it conflicts")
        session.say(f"{phrase}: {', '.join(others)}")


def _show_output(session: Session, name: str) -> None:
    """Print the end of the output of what failed, if the peer may read it, and where to look."""
    try:
        service = _culprit(name, session.services([]))
        name = service["name"]
        lines = last_lines(session, service, _LOG_LINES) if service["failed"] else []
    except (VirtsupdError, TimeoutError):
        lines = []
    for line in lines:
        session.complain(f"  | {harmless(line)}")
    session.complain(f"  more: virtsupctl status {name}")


def _culprit(name: str, services: list[Service]) -> Service:
    """Return the service that keeps `name` down: itself, or one behind the names of its reason.

    Raises:
        UnknownServiceError: there is no service `name` any more.
    """
    graph = Graph(services)
    first = graph.services[graph.canonical(name)]
    seen: dict[str, Service] = {}
    waiting = [first["name"]]
    while waiting:
        service = graph.services[waiting.pop(0)]
        if service["failed"]:
            return service
        if service["name"] not in seen:
            seen[service["name"]] = service
            names = service["reason"]["names"] if service["reason"] is not None else []
            waiting += [one for one in names if one in graph.services]
    return first


def _give_up(session: Session) -> int:
    text = _still(session, f"no end within {span(session.request.timeout or 0)}")
    if session.request.json:
        session.say_json({"error": {"code": "timed-out", "message": text}})
    session.complain(f"virtsupctl: {text}")
    return TIMED_OUT


def _still(session: Session, why: str) -> str:
    """Return what holds although we no longer wait."""
    request = session.request
    verb = request.verb.name
    names = " ".join(request.names)
    if verb == "wait":
        return f"{why}; {names}: not {request.state} yet"
    undo = {"start": "stop", "stop": "start"}.get(verb)
    hint = f"; take it back with: virtsupctl {undo} {names}" if undo else ""
    asked = f"{verb} {names}".rstrip()
    return f"{why}; the command ({asked}) stays in force{hint}"


def _reload(session: Session) -> int:
    from virtsupd.cli import plan  # noqa: PLC0415  the other commands do without it

    reply = session.call("Reload")
    names = list(plan.restartable(reply["steps"])) if session.request.restart else []
    if session.request.json and not names:
        session.say_json(reply)
    elif not session.request.json:
        plan.show(session, reply, is_done=True)
    if not names:
        return 0
    session.request.verb, session.request.names = VERB_BY_NAME["restart"], names
    return _carry_out(session, beside=reply)


def _quit(session: Session) -> int:
    try:
        session.call("Quit")
    except UnreachableError as error:
        if not _has_ended(session, error):
            raise
    _say_or_json(session, "virtsupd ends; every service runs on")
    return 0


def _say_or_json(session: Session, text: str) -> None:
    if session.request.json:
        session.say_json({})
    else:
        session.say(text)
