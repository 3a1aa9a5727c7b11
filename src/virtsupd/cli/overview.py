"""What `virtsupctl status` prints: all services in groups, the urgent ones first."""

from __future__ import annotations

from virtsupd.cli.style import harmless
from virtsupd.times import ago, elapsed, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsupd.cli.style import Style
    from virtsupd.cli.wire import Daemon, Service

FAILED = "Failed"
STARTING = "Starting"
STOPPING = "Stopping"
WAITING = "Waiting"
RUNNING = "Running"
GUESTS = "Guests"
DONE = "Done"
STOPPED = "Stopped"
STAGES = "Targets and conditions"

MARKS = {
    FAILED: ("!", "red"),
    STARTING: ("^", "yellow"),
    STOPPING: ("v", "yellow"),
    WAITING: ("~", "yellow"),
    RUNNING: ("+", "green"),
    GUESTS: ("+", "green"),
    DONE: ("*", "green"),
    STOPPED: ("-", "dim"),
    STAGES: ("+", "green"),
}
"""The groups in the order they are printed, each with its mark and the colour of the mark."""

_NAME_WIDTH = 40
"""The widest name that moves the columns of the others."""

_STAGE_KINDS = ("target", "condition")
_OBVIOUS_REASONS = ("finished", "held")
_DONE_REASONS = ("finished", "not-needed")

_NOTE_COLORS = {"failed": "red", "degraded": "yellow", "backing-off": "yellow", "waiting": "yellow"}


def group_of(service: Service) -> str:
    """Return the group a service is shown in."""
    state = service["state"]
    if service["failed"]:
        return FAILED
    if state == "starting":
        return STARTING
    if state == "stopping":
        return STOPPING
    return _running_group(service) if state == "running" else _stopped_group(service)


def _running_group(service: Service) -> str:
    if service["kind"] in _STAGE_KINDS:
        return STAGES
    if service["done"]:
        return DONE
    return GUESTS if service["kind"] == "guest" else RUNNING


def _stopped_group(service: Service) -> str:
    reason = service["reason"]
    if reason is not None and reason["kind"] in _DONE_REASONS and service["wanted"]:
        return DONE
    return WAITING if service["wanted"] and service["enabled"] else STOPPED


class _Row:
    """What is shown of one service: its columns, made once."""

    __slots__ = ("color", "group", "marks", "name", "note", "pid", "since")

    def __init__(self, service: Service, now: float) -> None:
        reason = service["reason"]
        self.group = group_of(service)
        self.name = service["name"]
        self.pid = str(service["pid"] or "")
        self.since = ago(service["since"], now) if service["since"] else ""
        self.note = note(service, now)
        self.marks = marks(service)
        self.color = _NOTE_COLORS.get(reason["kind"], "") if reason is not None else ""

    @property
    def is_quiet(self) -> bool:
        """Whether its name says it all: a stage that holds."""
        return self.group == STAGES and not self.note and not self.marks


def overview(daemon: Daemon, services: list[Service], now: float, style: Style) -> str:
    """Return the text for all services; `now` is the Unix time that relative times refer to."""
    groups: dict[str, list[_Row]] = {group: [] for group in MARKS}
    for service in services:
        row = _Row(service, now)
        groups[row.group].append(row)
    widths = _widths([row for rows in groups.values() for row in rows if not row.is_quiet])
    lines = _heading(daemon, groups, now, style)
    for group, rows in groups.items():
        if rows:
            lines += ["", style.paint("bold", group), *_group_lines(group, rows, widths, style)]
    if not services:
        lines += ["", f"No services are defined in {daemon['config']}."]
    return "\n".join(lines)


def _heading(daemon: Daemon, groups: dict[str, list[_Row]], now: float, style: Style) -> list[str]:
    counted = [
        style.paint("red" if group == FAILED else "", _counted(group, len(rows)))
        for group, rows in groups.items()
        if rows and group != STAGES
    ]
    name = style.paint("bold", f"virtsupd {daemon['version']}")
    lines = [
        f"{name}, pid {daemon['pid']}, up {elapsed(now - daemon['since'])}, {daemon['config']}",
        *([", ".join(counted)] if counted else []),
    ]
    shutdown = daemon["shutdown"]
    if shutdown is not None:
        from virtsupd.cli.ending import heading  # noqa: PLC0415  most hosts are not shut down

        lines.append(style.paint("yellow", heading(shutdown, now)))
    lines += [style.paint("yellow", f"Warning: {harmless(text)}") for text in daemon["warnings"]]
    return lines


def _counted(group: str, count: int) -> str:
    word = "guest" if group == GUESTS and count == 1 else group.lower()
    return f"{count} {word}"


def _widths(rows: list[_Row]) -> tuple[int, int, int]:
    """Return the widths of the columns name, pid and since."""
    return (
        min(max((len(row.name) for row in rows), default=0), _NAME_WIDTH),
        max((len(row.pid) for row in rows), default=0),
        max((len(row.since) for row in rows), default=0),
    )


def _group_lines(
    group: str, rows: list[_Row], widths: tuple[int, int, int], style: Style
) -> list[str]:
    """Return a line for each service; stages with nothing to say share theirs."""
    mark, color = MARKS[group]
    shown = style.paint(color, mark)
    lines = [
        f"  {shown} {_columns(row, widths, style)}".rstrip() for row in rows if not row.is_quiet
    ]
    shared = wrapped([row.name for row in rows if row.is_quiet], style.width or 80, 4)
    return lines + [
        f"  {shown if position == 0 else ' '} {text}" for position, text in enumerate(shared)
    ]


def _columns(row: _Row, widths: tuple[int, int, int], style: Style) -> str:
    name, pid, since = widths
    left = f"{row.name:<{name}}  {row.pid:>{pid}}  {row.since:<{since}}"
    used = len(left) + 6
    if not row.note:
        return f"{left}  {row.marks}"
    tail = f"; {row.marks}" if row.marks else ""
    return f"{left}  {style.paint(row.color, style.fit(row.note, used + len(tail)))}{tail}"


def wrapped(words: list[str], width: int, indent: int) -> list[str]:
    """Return `words` with commas, in lines that fit `width` columns behind an indent."""
    lines: list[str] = []
    for position, word in enumerate(words):
        text = word if position == len(words) - 1 else f"{word},"
        if lines and indent + len(lines[-1]) + 1 + len(text) <= width:
            lines[-1] += f" {text}"
        else:
            lines.append(text)
    return lines


def note(service: Service, now: float) -> str:
    """Return why a service is as it is, and what it says of itself, in one line."""
    parts = [
        _reason_text(service, now),
        _timer_text(service, now),
        says(service, now) if service["state"] != "stopped" else "",
    ]
    return "; ".join(part for part in parts if part)


def says(service: Service, now: float) -> str:
    """Return what a service says of itself; of a guest of libvirt's, how it is and since when."""
    text, since = harmless(service["status_text"]), service["status_since"]
    is_guest = service["domain"] is not None
    return f"{text}, {ago(since, now)}" if text and since is not None and is_guest else text


def marks(service: Service) -> str:
    """Return what else is remarkable about a service: short, and never to be cut."""
    count = len(service["warnings"])
    restarts = restarts_text(service)
    parts = [
        restarts,
        pending_text(service),
        "disabled" if not service["enabled"] and not _is_about(service, "disabled") else "",
        f"{count} warning{'s' if count > 1 else ''}" if count else "",
    ]
    return "; ".join(part for part in parts if part)


def pending_text(service: Service) -> str:
    """Return what of a changed definition is not in force yet, and how it will be; "" if all is."""
    if service["replacement_pending"]:
        return "changed, restart it to apply"
    return "its files changed, reload it to apply" if service["reload_pending"] else ""


def _reason_text(service: Service, now: float) -> str:
    reason = service["reason"]
    if reason is None or reason["kind"] in _OBVIOUS_REASONS:
        return ""
    text = harmless(reason["text"]) or reason["kind"]
    retry_at = reason["retry_at"]
    return f"{text} {until(retry_at, now)}" if retry_at is not None else text


def _timer_text(service: Service, now: float) -> str:
    timer = service["timer"]
    if timer is None or service["state"] != "running":
        return ""
    from virtsupd.cli.firings import next_text  # noqa: PLC0415  many hosts have no timer

    return next_text(timer, now)


def restarts_text(service: Service) -> str:
    """Say how often a service that is up was started again by itself, "" for never."""
    count = service["restarts"]
    if not count or service["state"] == "stopped":
        return ""
    return "restarted once" if count == 1 else f"restarted {count} times"


def _is_about(service: Service, kind: str) -> bool:
    reason = service["reason"]
    return reason is not None and reason["kind"] == kind
