"""What stock `herd` says: commands of GNU Shepherd's protocol, version 0, and what they ask for.

Theory of operation
===================

A herd conversation is one S-expression each way over one connection: the client connects, writes a
command, reads a reply, and goes. There is no length, no terminator and no streaming; the client
does not close its side, so whoever reads has to notice the closing parenthesis. That is the job of
`sexp.Reader`. This module takes the datum from there and ends where waiting begins:

    bytes -> Reader.feed -> parse_command -> plan -> (the server asks its Backend) -> render_… -> bytes

Nothing here waits, reads a clock or knows a socket, so each step is tested as a table of values.
`herd_replies` holds the `render_…` functions and `herd_records` what one service looks like.

A command has exactly five fields in a fixed order. Whatever deviates is not herd: `parse_command`
raises `ProtocolError`, and the server closes the connection without a word, as Shepherd does.
Only the first number of `(version 0 …)` counts; the rest is room for minor versions.

`plan` turns a command into what the server has to do. The table, by service and action:

| service | action | request | the server calls | and answers with |
|---|---|---|---|---|
| root | status, detailed-status, log, graph | RootStatus | facts, snapshots | render_root_status |
| root | start | RootStart | facts | render_root_start |
| root | stop | Shutdown | end("shutdown") | nothing: it closes when all is down |
| root | reload | ReloadConfiguration | reload_configuration | render_reload |
| root | help, doc | Canned | - | its `reply` |
| any | status | Status | resolve, snapshot | render_status |
| any | start, stop, restart, reload, enable, disable, trigger, hold, release | Ask | resolve, ask, snapshot | render_answer |
| any | doc | Doc | resolve, snapshot | render_doc |
| any | why | Why | resolve, why | render_why |
| timer | schedule | Schedule | schedule | render_unspecified |
| any | everything else | Act | resolve, act | render_lines |

Every `VirtsupdError` on the way, `plan`'s own included, is answered with `render_error`.

The protocol has no words for much of what virtsupd knows. The four states are Shepherd's; a failed
service is `stopped` with a non-empty list of start failures, because herd shows that as failing;
reasons, warnings and the like ride in fields of our own at the end of a record, which herd ignores.
Where Shepherd reports success for a failure (a restart whose start failed, a stop that was
refused), virtsupd answers so that herd exits with 1.
"""

from collections.abc import Mapping
from dataclasses import field
from itertools import zip_longest

from virtsupd.control.herd_replies import (
    error_datum,
    exception_datum,
    render_help,
    render_root_doc,
    reply,
)
from virtsupd.control.sexp import Datum, Keyword, Symbol
from virtsupd.core.events import Verb
from virtsupd.core.frozen import frozen
from virtsupd.core.names import RESERVED
from virtsupd.errors import (
    ActionError,
    PeerDeniedError,
    ProtocolError,
    UnknownActionError,
    UnknownServiceError,
    VirtsupdError,
)

SCHEDULE = "schedule"
_FIELDS = ("version", "action", "service", "arguments", "directory")
_VERBS = {
    "start": Verb.START,
    "stop": Verb.STOP,
    "restart": Verb.RESTART,
    "reload": Verb.RELOAD,
    "enable": Verb.ENABLE,
    "disable": Verb.DISABLE,
    "trigger": Verb.TRIGGER,
    "hold": Verb.HOLD,
    "release": Verb.RELEASE,
}
_WORDLESS = frozenset({"trigger", "hold", "release"})
"""Verbs of ours, for which nobody types words that mean nothing, as Shepherd's `start` takes them."""

_FORCE = frozenset({"force", "--force"})
"""What people may write after the name; herd takes an option for its own unless "--" comes first."""


@frozen
class HerdCommand:
    """One command as it came."""

    action: str
    service: str
    arguments: tuple[str, ...] = ()
    directory: str = "/"
    """The client's working directory."""
    is_quoted: bool = False
    """The service came as a string. Strings name no service: it is not found."""
    options: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Keyword arguments, which only `schedule` takes."""


@frozen
class RootStatus:
    """Show virtsupd and all services."""


@frozen
class RootStart:
    """Show virtsupd, which evidently runs."""


@frozen
class Shutdown:
    """Stop everything, then virtsupd."""


@frozen
class ReloadConfiguration:
    """Read the configuration again."""


@frozen
class Canned:
    """What needs no knowledge: `reply` is the whole answer."""

    reply: bytes


@frozen
class Status:
    """Show one service."""

    service: str


@frozen
class Ask:
    """Carry out one of the engine's verbs on one service."""

    verb: Verb
    service: str
    force: bool = False
    """Also if guests that run on would lose something by it."""


@frozen
class Doc:
    """Describe a service, one of its actions, or all of them."""

    service: str
    words: tuple[str, ...] = ()
    """(), ("list-actions",) or ("action", NAME); anything else is an unknown keyword."""


@frozen
class Why:
    """Explain why a service is as it is."""

    service: str


@frozen
class Schedule:
    """Run a command once, at a time of the clock."""

    at: str
    command: tuple[str, ...]
    options: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """By keyword: what herd's own options became."""


@frozen
class Act:
    """Carry out an action of the service's own."""

    service: str
    action: str
    arguments: tuple[str, ...] = ()


Request = (
    RootStatus
    | RootStart
    | Shutdown
    | ReloadConfiguration
    | Canned
    | Status
    | Ask
    | Doc
    | Why
    | Schedule
    | Act
)


def parse_command(datum: Datum) -> HerdCommand:
    """Return the command that a datum is.

    Raises:
        ProtocolError: it is none, or of another version.
    """
    version, action, service, arguments, directory = _fields(datum)
    match version, action, service, arguments, directory:
        case (
            (int() as major, *_),
            (Symbol(name=action_name),),
            (Symbol() | str() as named,),
            (tuple() as words,),
            (str() as path,),
        ) if major == 0 and major is not False:
            name, is_quoted = (named, True) if isinstance(named, str) else (named.name, False)
            count = next((n for n, w in enumerate(words) if isinstance(w, Keyword)), len(words))
            options = _options(words[count:]) if action_name == SCHEDULE else {}
            words = words[:count] if options else words
            return HerdCommand(action_name, name, _strings(words), path, is_quoted, options)
    raise ProtocolError("a field of the command has the wrong type or version")


def plan(command: HerdCommand) -> Request:
    """Return what a command asks for. The table stands at the top of this module.

    Raises:
        UnknownServiceError: the service came as a string.
        UnknownActionError: virtsupd itself has no such action.
        ActionError: it makes no sense for virtsupd itself, or not with these arguments.
    """
    if command.is_quoted:
        raise UnknownServiceError(command.service)
    if command.service in RESERVED:
        return _plan_root(command)
    if command.action == "status":
        return Status(command.service)
    if command.action == "doc":
        return Doc(command.service, command.arguments)
    return _plan_other(command)


def _plan_other(command: HerdCommand) -> Request:
    if command.action == "why":
        return Why(command.service)
    if command.action == SCHEDULE and command.service == "timer":
        return _plan_schedule(command)
    if command.action in _WORDLESS and command.arguments:
        raise ActionError(f"{command.action} takes no words after the name: nothing was changed")
    if command.action in _VERBS:
        is_forced = not _FORCE.isdisjoint(command.arguments)
        return Ask(_VERBS[command.action], command.service, force=is_forced)
    return Act(command.service, command.action, command.arguments)


def _plan_schedule(command: HerdCommand) -> Schedule:
    match command.arguments:
        case ("at", at, _, *_) as words:
            return Schedule(at, words[2:], command.options)
        case _:
            raise ActionError("schedule timer needs a time and a command: at HH:MM COMMAND…")


def render_error(error: VirtsupdError, command: HerdCommand) -> bytes:
    """Answer a command that failed.

    Missing services and actions have tags of their own, and so has a refusal
    (`permission-denied`, which stock herd prints as it is). Everything else goes out as an
    exception of the action, because herd prints the message of one.
    """
    match error:
        case UnknownServiceError():
            hint = [f"Did you mean '{error.nearest}'?"] if error.nearest else []
            name: Datum = error.name if command.is_quoted else Symbol(error.name)
            return reply(False, hint, error_datum("service-not-found", name))
        case UnknownActionError():
            about = (Symbol(error.action), Symbol(error.service))
            return reply(False, error=error_datum("action-not-found", *about))
        case PeerDeniedError():
            details = (Symbol(command.action), Symbol(command.service), str(error))
            return reply(False, error=error_datum("permission-denied", *details))
        case _:
            return render_failure(str(error), command)


def render_failure(message: str, command: HerdCommand) -> bytes:
    """Answer a command that ended in an unforeseen way."""
    service = "root" if command.service in RESERVED else command.service
    return reply(False, error=exception_datum(command.action, service, message))


def _plan_root(command: HerdCommand) -> Request:
    match command.action:
        case "status" | "detailed-status" | "log" | "graph":
            return RootStatus()
        case "start":
            return RootStart()
        case "stop":
            return Shutdown()
        case "reload":
            return _plan_reload(command)
        case _:
            return Canned(_canned(command))


def _plan_reload(command: HerdCommand) -> Request:
    if command.arguments:
        raise ActionError("reload reads virtsupd's own configuration again and takes no file")
    return ReloadConfiguration()


def _canned(command: HerdCommand) -> bytes:
    match command.action:
        case "help":
            return render_help()
        case "doc":
            return render_root_doc(command.arguments)
        case "enable" | "disable" | "restart":
            raise ActionError(f"cannot {command.action} virtsupd itself: nothing was changed")
        case _:
            raise UnknownActionError(command.action, "root")


def _fields(datum: Datum) -> tuple[tuple[Datum, ...], ...]:
    """Return the five fields' contents, names taken off."""
    if not isinstance(datum, tuple) or len(datum) != 6 or datum[0] != Symbol("shepherd-command"):
        raise ProtocolError("not a command of five fields")
    contents = []
    for name, entry in zip(_FIELDS, datum[1:], strict=True):
        if not isinstance(entry, tuple) or entry[:1] != (Symbol(name),):
            raise ProtocolError(f"the field {name} is missing or not in its place")
        contents.append(entry[1:])
    return tuple(contents)


def _options(words: tuple[Datum, ...]) -> Mapping[str, str | tuple[str, ...]]:
    """Return keyword arguments: each a keyword and a word, or a list of them."""
    options: dict[str, str | tuple[str, ...]] = {}
    for keyword, value in zip_longest(words[::2], words[1::2]):
        match keyword, value:
            case Keyword(name=option), Symbol(name=word) | (str() as word):
                options[option] = word
            case Keyword(name=option), tuple() as several:
                options[option] = _strings(several)
            case _:
                raise ProtocolError("an option is not a keyword and its value")
    return options


def _strings(words: tuple[Datum, ...]) -> tuple[str, ...]:
    strings = tuple(word for word in words if isinstance(word, str))
    if len(strings) != len(words):
        raise ProtocolError("an argument is not a string")
    return strings
