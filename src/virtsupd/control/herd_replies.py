"""What virtsupd answers to `herd`: one reply, as bytes, for each result of a `Backend` call.

A reply has exactly four fields, `(reply (version 0) (result R) (error E) (messages (…)))`, and the
shape of R depends on the action: all records in a list in a list for the status of root, a record
in a list for that of a service, the bare record for a start, names for a stop, otherwise a list of
one value. herd crashes on any other shape; it exits with 1 when R of a start is #f, when the one
value of an action is #f, and when E is an error. Messages are lines it prints before all else.
"""

from collections.abc import Sequence
from typing import Protocol

from virtsupd.control.herd_records import (
    ROOT_ACTIONS,
    ROOT_DESCRIPTION,
    VERSION,
    Facts,
    action_descriptions,
    root_record,
    service_record,
    symbols,
)
from virtsupd.control.sexp import Datum, Symbol
from virtsupd.control.sexp_writer import write
from virtsupd.core.chain import Link
from virtsupd.core.effects import Answer, Report, Result
from virtsupd.core.events import Verb
from virtsupd.core.snapshot import ServiceSnapshot

# What GNU Shepherd shows for an action whose value nobody wrote down.
_UNSPECIFIED: Datum = ("#<unspecified>",)
_HELP = """\
`herd status` lists the services of this host, `herd start`, `stop`, `restart`, `enable` and
`disable` NAME command them, `herd doc NAME list-actions` tells what else one can do.
`herd stop root` shuts the whole host's services down. virtsupctl says more."""


class Outcome(Protocol):
    """What a reload changed, by canonical name: `control.plan.Plan`, structurally."""

    @property
    def added(self) -> Sequence[str]:
        """Services that are new, or start."""
        ...

    @property
    def changed(self) -> Sequence[str]:
        """Services whose edges or policies are others, in force now."""
        ...

    @property
    def reloaded(self) -> Sequence[str]:
        """Services that were told to read their files again."""
        ...

    @property
    def pending(self) -> Sequence[str]:
        """Services whose process is another from their next start on."""
        ...

    @property
    def removed(self) -> Sequence[str]:
        """Services that are gone."""
        ...


def render_root_status(snapshots: Sequence[ServiceSnapshot], facts: Facts) -> bytes:
    """Answer a status of root: virtsupd first, then every service."""
    known = {name for snapshot in snapshots for name in snapshot.spec.provides}
    records = (service_record(snapshot, known=known) for snapshot in snapshots)
    return reply(((root_record(facts), *records),))


def render_root_start(facts: Facts) -> bytes:
    """Answer a start of root, which runs, or it could not answer."""
    return reply(root_record(facts), ["Service root is already running."])


def render_status(
    snapshot: ServiceSnapshot,
    *,
    log_files: Sequence[str] | None = None,
    recent: Sequence[tuple[float, str]] = (),
) -> bytes:
    """Answer a status of one service.

    `log_files` defaults to the file in use; `recent` are times (Unix seconds) and lines of its
    output, newest first, of which herd 1.0 shows the last few.
    """
    return reply((service_record(snapshot, log_files=log_files, recent=recent),))


def own_messages(snapshot: ServiceSnapshot) -> list[tuple[float, str]]:
    """Return what virtsupd itself has to say of a service, with the time of its last change."""
    reason = [snapshot.reason.text] if snapshot.reason else []
    return [(snapshot.since, f"virtsupd: {text}") for text in (*reason, *snapshot.warnings)]


def render_answer(verb: Verb, answer: Answer, snapshot: ServiceSnapshot) -> bytes:
    """Answer a verb asked of one service; `snapshot` is the service afterwards."""
    report = answer.reports[0]
    messages = [*_messages(verb, report), *_others(verb, answer, report)]
    is_good = report.result.is_good
    match verb:
        case Verb.START:
            return reply(service_record(snapshot) if is_good else False, messages)
        case Verb.RESTART | Verb.RELOAD | Verb.WAIT:
            return reply((is_good,), messages)
        case Verb.STOP if is_good:
            return reply(symbols(_stopped(answer, report)), messages)
        case Verb.ENABLE | Verb.DISABLE | Verb.TRIGGER | Verb.HOLD | Verb.RELEASE if is_good:
            return reply(_UNSPECIFIED, messages)
        case _:
            return reply(False, error=exception_datum(verb.value, report.name, messages[0]))


def render_doc(words: Sequence[str], snapshot: ServiceSnapshot) -> bytes:
    """Answer a doc of a service; `words` are the arguments after its name."""
    spec = snapshot.spec
    return _render_doc(words, spec.name, spec.description, action_descriptions(spec))


def render_root_doc(words: Sequence[str]) -> bytes:
    """Answer a doc of virtsupd itself."""
    return _render_doc(words, "root", ROOT_DESCRIPTION, ROOT_ACTIONS)


def render_help() -> bytes:
    """Answer a call for help."""
    return reply((_HELP,))


def render_unspecified(*messages: str) -> bytes:
    """Answer what has no value of its own with lines alone."""
    return reply(_UNSPECIFIED, messages)


def render_lines(lines: Sequence[str]) -> bytes:
    """Answer an action that was carried out, with the lines it printed."""
    return reply((True,), lines)


def render_why(links: Sequence[Link]) -> bytes:
    """Answer why a service is as it is: what, why and what next, a cause behind its consequence.

    There are no times: `herd status NAME` shows those of each.
    """
    return render_lines([line for link in links for line in _link_lines(link)])


def _link_lines(link: Link) -> Sequence[str]:
    following = link.next
    then = f"; then {following.then}" if following.then else ""
    command = f": herd {' '.join(following.command)}" if following.command else ""
    return (
        f"{link.name} is {link.snapshot.state}: {link.why}",
        f"  next: {following.text}{then}{command}",
    )


def render_reload(outcome: Outcome) -> bytes:
    """Answer a reload of the configuration with what it changed, a line for each kind of change."""
    changes = {
        "added": outcome.added,
        "changed": outcome.changed,
        "reloaded": outcome.reloaded,
        "changed at the next start": outcome.pending,
        "removed": outcome.removed,
    }
    lines = [f"{kind}: {' '.join(names)}" for kind, names in changes.items() if names]
    return reply((True,), lines or ["nothing has changed"])


def reply(result: Datum, messages: Sequence[str] = (), error: Datum = False) -> bytes:
    """Return a reply as it goes over the wire; with an error, `result` is False."""
    fields = {"result": result, "error": error, "messages": tuple(messages)}
    entries = ((Symbol(name), value) for name, value in fields.items())
    return write((Symbol("reply"), VERSION, *entries)).encode()


def error_datum(tag: str, *details: Datum) -> Datum:
    """Return what stands in the error field."""
    return (Symbol("error"), VERSION, Symbol(tag), *details)


def exception_datum(action: str, service: str, message: str) -> Datum:
    """Return the error that herd prints as `message`, in the form of Guile's misc-error."""
    arguments: Datum = (False, "~a", (message,), False)
    about = (Symbol(action), Symbol(service), Symbol("misc-error"))
    return error_datum("action-exception", *about, arguments)


def _messages(verb: Verb, report: Report) -> list[str]:
    """Return Shepherd's line for a result, and the engine's own where that says more.

    Shepherd has none for a stop that went well. In every other case there is at least one.
    """
    name = report.name
    lines = {
        (Verb.START, Result.DONE): f"Service {name} has been started.",
        (Verb.START, Result.ALREADY): f"Service {name} is already running.",
        (Verb.START, Result.FAILED): f"Service {name} could not be started.",
        (Verb.RESTART, Result.DONE): f"Service {name} has been started.",
        (Verb.RESTART, Result.FAILED): f"Service {name} could not be started.",
        (Verb.ENABLE, Result.DONE): f"Enabled service {name}.",
        (Verb.ENABLE, Result.ALREADY): f"Enabled service {name}.",
        (Verb.DISABLE, Result.DONE): f"Disabled service {name}.",
        (Verb.DISABLE, Result.ALREADY): f"Disabled service {name}.",
    }
    known = lines.get((verb, report.result))
    is_told = known is not None and report.result in (Result.DONE, Result.ALREADY)
    if verb is Verb.STOP and report.result.is_good:
        return []
    own = "" if is_told else report.message
    return [line for line in (known, own) if line] or [f"{name}: {report.result.value}"]


def _others(verb: Verb, answer: Answer, report: Report) -> list[str]:
    """Return a line for each other service that went down; Shepherd has none after a stop."""
    done = {
        Verb.START: "has been stopped to make room",
        Verb.RESTART: "is restarted along with it",
    }.get(verb)
    if done is None or report.result is Result.REFUSED:
        return []
    return [f"Service {name} {done}." for name in answer.touched if name != report.name]


def _stopped(answer: Answer, report: Report) -> Sequence[str]:
    if report.result is Result.DONE:
        return answer.touched or (report.name,)
    return ()


def _render_doc(
    words: Sequence[str], name: str, description: str, actions: dict[str, str]
) -> bytes:
    match tuple(words):
        case ():
            return render_unspecified(description or "[No description].")
        case ("list-actions",):
            entries = actions.items()
            return render_unspecified(
                *(line for action, text in entries for line in (f"{action}:", f"  {text}", ""))
            )
        case ("action", action) if action in actions:
            return render_unspecified(f"{action}: {actions[action]}")
        case ("action", action):
            return reply(False, error=error_datum("action-not-found", action, Symbol(name)))
        case _:
            return render_unspecified("doc knows list-actions and action NAME.")
