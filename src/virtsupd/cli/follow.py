"""The verbs that print lines as they come: log and watch."""

from __future__ import annotations

from virtsupd.cli.changes import change_line, history, is_echo, shortened
from virtsupd.cli.style import harmless, quoted
from virtsupd.times import stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsupd.cli.session import Session
    from virtsupd.cli.wire import Event, Service

_QEMU_LOGS = "/var/log/libvirt/qemu"
_LINES = 20


def run(session: Session) -> int:
    """Print lines until there are no more, or until interrupted, and return 0."""
    request = session.request
    if request.verb.name == "watch":
        return _watch(session)
    return _output(session) if request.names else _changes(session)


def _output(session: Session) -> int:
    """Print the end of services' output; each line after its service's name if there are several."""
    request = session.request
    _name_those_without_log(session)
    parameters = {"names": request.names, "lines": _count(session), "follow": request.follow}
    width = max(len(name) for name in request.names) if len(request.names) > 1 else 0
    for reply in session.stream("Log", parameters):
        for line in reply["lines"]:
            _output_line(session, reply["name"], line, width)
        session.out.flush()
    return 0


def _name_those_without_log(session: Session) -> None:
    """Say whose output nobody keeps, since an empty answer does not tell it from silence."""
    for service in session.services(session.request.names):
        if not service["log_files"] and not session.request.quiet:
            session.complain(f"{service['name']} has no log: {_why_no_log(service)}")


def _why_no_log(service: Service) -> str:
    if service["command"]:
        return "its output is not kept (log = false)"
    if service["domain"] is None:
        return "it has no process"
    domain = service["domain"][0]
    where = f"that of its QEMU is {_QEMU_LOGS}/{harmless(domain)}.log"
    return f"{where}, and its console: virsh console {quoted([domain])}"


def _count(session: Session) -> int:
    lines = session.request.lines
    return _LINES if lines is None else lines


def _output_line(session: Session, name: str, line: str, width: int) -> None:
    if session.request.json:
        session.say_json_line({"name": name, "line": line})
        return
    text = harmless(line) if session.out.isatty() else line
    prefix = f"{session.style.paint('cyan', f'{name:<{width}}')} | " if width else ""
    print(f"{prefix}{text}", file=session.out)


def _changes(session: Session) -> int:
    """Print what changed lately in all services, oldest first; with --follow go on as watch does."""
    count = _count(session)
    known = history(session.services([]))
    if not session.request.json:
        known = [one for one in known if one[1]]
    for event, line in known[len(known) - min(count, len(known)) :]:
        if session.request.json:
            session.say_json_line(event)
        else:
            session.say(f"{stamp(event['at'])}  {line}")
    session.out.flush()
    return _watch(session) if session.request.follow else 0


def _watch(session: Session) -> int:
    """Print each change as it happens; as JSON in short, with --verbose the whole record."""
    request = session.request
    if session.err_style.can_redraw and not request.quiet:
        print("watching; Ctrl-C ends it", file=session.err)
    for reply in session.stream("Watch", {"names": request.names}):
        event: Event = reply["event"]
        if request.json:
            session.say_json_line(event if request.verbose else shortened(event))
        elif not is_echo(event):
            line = f"{stamp(event['at'])}  {change_line(event)}"
            print(line, file=session.out, flush=True)
    return 0
