"""One service as herd sees it: the record of GNU Shepherd 1.0, fields of our own after it.

Every field is a list of a name and one value, in a fixed order. Times are whole Unix seconds: a
float crashes herd. A client that knows fewer fields ignores the rest.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from virtsupd.control.sexp import Datum, Pair, Symbol
from virtsupd.core.snapshot import Reason, ServiceSnapshot, State, TimerView
from virtsupd.core.spec import ServiceSpec

VERSION: Datum = (Symbol("version"), 0)
ROOT_NAMES = ("root", "shepherd")
ROOT_DESCRIPTION = "virtsupd itself, the supervisor of this host."
ROOT_ACTIONS = {
    "help": "Say what can be asked of virtsupd.",
    "status": "Show virtsupd and all services.",
    "reload": "Read the configuration again and apply what changed.",
}

# What a record says of a service that has nothing to say: GNU Shepherd 1.0's fields, in its order.
_DEFAULTS: dict[str, Datum] = {
    "provides": (),
    "requires": (),
    "respawn?": False,
    "docstring": "",
    "enabled?": True,
    "running": False,
    "conflicts": (),
    "last-respawns": (),
    "status-changes": (),
    "startup-failures": (),
    "status": Symbol("stopped"),
    "one-shot?": False,
    "transient?": False,
    "respawn-limit": Pair((0,), 0),
    "respawn-delay": 0,
    "actions": (),
    "exit-statuses": (),
    "recent-messages": (),
    "log-files": (),
    "pending-replacement?": False,
}
_HARMLESS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) != "\t"}
"""herd prints messages as they are: what a service writes must not command its reader's terminal."""


class Facts(Protocol):
    """What virtsupd knows of itself: `control.backend.DaemonFacts`, structurally."""

    @property
    def pid(self) -> int:
        """Its process."""
        ...

    @property
    def version(self) -> str:
        """Its release."""
        ...

    @property
    def since(self) -> float:
        """When it began; wall clock."""
        ...

    @property
    def config(self) -> str:
        """The file it was started with."""
        ...

    @property
    def phase(self) -> str:
        """Either "running" or "shutting-down"."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What is degraded for every service."""
        ...


_TIMER_ACTIONS = {
    "trigger": "Run the timer's command now.",
    "hold": "Keep the timer from firing until it is released.",
    "release": "Let the timer fire again.",
}


def symbols(names: Iterable[str]) -> tuple[Symbol, ...]:
    """Return names as a list of symbols."""
    return tuple(map(Symbol, names))


def action_descriptions(spec: ServiceSpec) -> dict[str, str]:
    """Return the actions that herd can ask of a service, own ones and `reload`, with their texts."""
    actions = {action.name: action.description for action in spec.actions}
    if spec.reload is not None:
        actions.setdefault("reload", "Make the service read its configuration again.")
    if spec.timer is not None:
        actions |= _TIMER_ACTIONS
    return actions


def service_record(
    snapshot: ServiceSnapshot,
    *,
    known: Collection[str] | None = None,
    log_files: Sequence[str] | None = None,
    recent: Sequence[tuple[float, str]] = (),
) -> Datum:
    """Return the record of one service.

    `known` are the names that the records of the whole reply provide; requirements beyond them are
    left out, since herd cannot draw a graph with them. None leaves all in. `log_files` defaults to
    the file in use; `recent` are times and lines of output, newest first.
    """
    spec = snapshot.spec
    if log_files is None:
        log_files = [spec.process.log.file] if spec.process and spec.process.log.file else []
    fields: dict[str, Datum] = {
        "enabled?": snapshot.enabled,
        "running": _running(snapshot),
        "last-respawns": _times(snapshot.respawns),
        "status-changes": tuple(
            Pair((Symbol(state.value),), int(at)) for state, at in snapshot.changes
        ),
        "startup-failures": _times(_start_failures(snapshot)),
        "status": Symbol(snapshot.state.value),
        "exit-statuses": _exit_statuses(snapshot),
        "recent-messages": _messages(recent),
        "log-files": tuple(log_files),
        "pending-replacement?": snapshot.is_replacement_pending,
    }
    return _record(_definition(spec, known) | fields | _own_fields(snapshot))


def root_record(facts: Facts) -> Datum:
    """Return the record of virtsupd itself; its warnings stand among the recent messages."""
    is_ending = facts.phase == "shutting-down"
    state = Symbol((State.STOPPING if is_ending else State.RUNNING).value)
    return _record(
        {
            "provides": symbols(ROOT_NAMES),
            "docstring": ROOT_DESCRIPTION,
            "running": _process(facts.pid, ("virtsupd", "--config", facts.config)),
            "status-changes": (Pair((Symbol("running"),), int(facts.since)),),
            "status": state,
            "actions": symbols(ROOT_ACTIONS),
            "recent-messages": _messages([(facts.since, text) for text in facts.warnings]),
            "virtsupd-version": facts.version,
        }
    )


def _record(fields: Mapping[str, Datum]) -> Datum:
    entries = (_DEFAULTS | dict(fields)).items()
    return (Symbol("service"), VERSION, *((Symbol(name), value) for name, value in entries))


def _definition(spec: ServiceSpec, known: Collection[str] | None) -> dict[str, Datum]:
    requires = dict.fromkeys((*spec.requires, *spec.binds_to))
    fields: dict[str, Datum] = {
        "provides": symbols(spec.provides),
        "requires": symbols(name for name in requires if known is None or name in known),
        "docstring": spec.description,
        "one-shot?": spec.one_shot,
        "transient?": spec.transient,
        "actions": symbols(action_descriptions(spec)),
    }
    if spec.respawn is not None and spec.process is not None and not spec.one_shot:
        respawn = spec.respawn
        fields["respawn?"] = True
        fields["respawn-limit"] = Pair((respawn.limit,), _number(respawn.window_seconds))
        fields["respawn-delay"] = _number(respawn.delay_seconds)
    return fields


def _running(snapshot: ServiceSnapshot) -> Datum:
    """Return the running value: a process, #t for what runs without one, #f for what is down."""
    if snapshot.timer is not None and snapshot.state is State.RUNNING:
        return _timer(snapshot, snapshot.timer)
    if snapshot.pid is None:
        return snapshot.state is State.RUNNING
    process = snapshot.spec.process
    return _process(snapshot.pid, process.command if process else ())


def _timer(snapshot: ServiceSnapshot, timer: TimerView) -> Datum:
    """Return the value of an armed timer.

    Without its times, since herd's have no words for most of them, and its environment, which is
    nobody's to see.
    """
    process = snapshot.spec.process
    command: dict[str, Datum] = {
        "arguments": process.command if process else (),
        "user": (process and process.user) or False,
        "group": (process and process.group) or False,
        "supplementary-groups": (),
        "environment-variables": (),
        "directory": process.directory if process else "/",
        "resource-limits": (),
    }
    job = timer.job
    running = () if snapshot.pid is None or job is None else ((snapshot.pid, int(job.began)),)
    runs = tuple(
        (run.status.wait_status, int(run.ended), int(run.began))
        for run in timer.runs
        if run.status.wait_status is not None
    )
    fields: dict[str, Datum] = {
        "event": False,
        "action": (Symbol("command"), VERSION, *((Symbol(k), v) for k, v in command.items())),
        "processes": tuple(Pair((pid,), began) for pid, began in running),
        "past-runs": runs,
    }
    return (Symbol("timer"), VERSION, *((Symbol(k), v) for k, v in fields.items()))


def _process(pid: int, command: Sequence[str]) -> Datum:
    fields = (VERSION, (Symbol("id"), pid), (Symbol("command"), tuple(command)))
    return (Symbol("process"), *fields)


def _start_failures(snapshot: ServiceSnapshot) -> tuple[float, ...]:
    """Return when it failed to start; never () for a failed service, so that herd shows it as one."""
    if snapshot.has_failed and not snapshot.start_failures:
        return (snapshot.since,)
    return snapshot.start_failures


def _exit_statuses(snapshot: ServiceSnapshot) -> Datum:
    """Return wait(2) statuses with their times; ends nobody knows the status of are left out."""
    return tuple(
        Pair((record.status.wait_status,), int(record.at))
        for record in snapshot.exits
        if record.status.wait_status is not None
    )


def _own_fields(snapshot: ServiceSnapshot) -> dict[str, Datum]:
    """Return what Shepherd has no field for."""
    last = snapshot.last_exit
    fields: dict[str, Datum] = {
        "wanted?": snapshot.wanted,
        "wanted-by": snapshot.wanted_by,
        "failed?": snapshot.has_failed,
        "reason": _reason(snapshot.reason) if snapshot.reason else False,
        "status-text": snapshot.status_text,
        "last-exit": str(last.status) if last else False,
        "restarts": snapshot.restarts,
        "warnings": snapshot.warnings,
    }
    if snapshot.timer is not None:
        fires_at = snapshot.timer.fires_at
        fields["fires-at"] = False if fires_at is None else int(fires_at)
    return fields


def _reason(reason: Reason) -> Datum:
    """Return (KIND TEXT RETRY-AT NAMES); RETRY-AT is a time or #f."""
    retry_at = False if reason.retry_at is None else int(reason.retry_at)
    return (Symbol(reason.kind.value), reason.text, retry_at, symbols(reason.names))


def _messages(lines: Iterable[tuple[float, str]]) -> Datum:
    return tuple(Pair((int(at),), line.translate(_HARMLESS)) for at, line in lines)


def _times(times: Iterable[float]) -> Datum:
    return tuple(int(at) for at in times)


def _number(seconds: float) -> int | float:
    """Return a whole number without its fraction, as people write it."""
    return int(seconds) if seconds == int(seconds) else seconds
