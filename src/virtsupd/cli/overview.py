"""What `virtsupctl status` prints: all services in groups, the urgent ones first."""

from __future__ import annotations

from virtsupd.cli.style import harmless
from virtsupd.cli.times import ago, elapsed, until

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

_STAGE_KINDS = ("target", "condition")
_OBVIOUS_REASONS = ("finished",)
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


def overview(daemon: Daemon, services: list[Service], now: float, style: Style) -> str:
    """Return the text for all services; `now` is the Unix time that relative times refer to."""
    groups: dict[str, list[Service]] = {group: [] for group in MARKS}
    for service in services:
        groups[group_of(service)].append(service)
    lines = _heading(daemon, groups, now, style)
    widths = _widths(services, now)
    for group, members in groups.items():
        if members:
            lines += ["", style.paint("bold", group)]
            lines += [_row(group, service, widths, now, style) for service in members]
    if not services:
        lines += ["", f"No services are defined in {daemon['config']}."]
    return "\n".join(lines)


def _heading(
    daemon: Daemon, groups: dict[str, list[Service]], now: float, style: Style
) -> list[str]:
    counted = [
        style.paint("red" if group == FAILED else "", f"{len(members)} {group.lower()}")
        for group, members in groups.items()
        if members and group != STAGES
    ]
    name = style.paint("bold", f"virtsupd {daemon['version']}")
    lines = [
        f"{name}, pid {daemon['pid']}, up {elapsed(now - daemon['since'])}, {daemon['config']}",
        *([", ".join(counted)] if counted else []),
    ]
    if daemon["phase"] != "running":
        lines.append(style.paint("yellow", "The host is shutting down."))
    lines += [style.paint("yellow", f"Warning: {harmless(text)}") for text in daemon["warnings"]]
    return lines


def _widths(services: list[Service], now: float) -> tuple[int, int, int]:
    """Return the widths of the columns name, pid and since."""
    names = max((len(service["name"]) for service in services), default=0)
    pids = max((len(str(service["pid"] or "")) for service in services), default=0)
    times = max((len(_since(service, now)) for service in services), default=0)
    return min(names, 40), pids, times


def _since(service: Service, now: float) -> str:
    return ago(service["since"], now) if service["since"] else ""


def _row(
    group: str, service: Service, widths: tuple[int, int, int], now: float, style: Style
) -> str:
    mark, color = MARKS[group]
    name, pid, since = widths
    left = (
        f"{service['name']:<{name}}  {service['pid'] or '':>{pid}}  {_since(service, now):<{since}}"
    )
    row = f"  {style.paint(color, mark)} {left}"
    text = note(service, now)
    if not text:
        return row.rstrip()
    return f"{row}  {style.paint(_note_color(service), style.fit(text, len(left) + 6))}"


def _note_color(service: Service) -> str:
    reason = service["reason"]
    return _NOTE_COLORS.get(reason["kind"], "") if reason is not None else ""


def note(service: Service, now: float) -> str:
    """Return what is remarkable about a service in one line, the most important first."""
    parts = [
        _reason_text(service, now),
        harmless(service["status_text"]) if service["state"] != "stopped" else "",
        _restarts_text(service),
        "changed, restart it to apply" if service["replacement_pending"] else "",
        "disabled" if not service["enabled"] and not _is_about(service, "disabled") else "",
        *(harmless(text) for text in service["warnings"]),
    ]
    return "; ".join(part for part in parts if part)


def _reason_text(service: Service, now: float) -> str:
    reason = service["reason"]
    if reason is None or reason["kind"] in _OBVIOUS_REASONS:
        return ""
    text = harmless(reason["text"]) or reason["kind"]
    retry_at = reason["retry_at"]
    return f"{text}, again {until(retry_at, now)}" if retry_at is not None else text


def _restarts_text(service: Service) -> str:
    count = service["restarts"]
    if not count or service["state"] == "stopped":
        return ""
    return "restarted once" if count == 1 else f"restarted {count} times"


def _is_about(service: Service, kind: str) -> bool:
    reason = service["reason"]
    return reason is not None and reason["kind"] == kind
