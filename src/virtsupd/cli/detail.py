"""What `virtsupctl status NAME` prints: everything about one service."""

from __future__ import annotations

from virtsupd.cli import definition, firings
from virtsupd.cli.overview import MARKS, group_of, says
from virtsupd.cli.style import harmless, quoted
from virtsupd.times import ago, elapsed, moment, span, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsupd.cli.style import Style
    from virtsupd.cli.wire import Exit, Process, Service

_LABEL_WIDTH = 12
_SHOWN_EXITS = 5
_STOP_MODES = {
    "cgroup": "signals its process group, then everything in its cgroup",
    "group": "signals its process group",
    "process": "signals its main process alone; what that has started lives on",
}


class Surroundings:
    """What a service's page shows beside its own record.

    `others` are all services by each of their names, as far as the peer may see them; `log_lines`
    the end of its output; `lives_beside` how many processes its stop leaves alone; `definition` what
    `cat` prints of it, "" if that may not be seen; `processes` None unless they were asked for.
    """

    def __init__(
        self,
        others: dict[str, Service],
        log_lines: list[str],
        processes: list[Process] | None = None,
        *,
        lives_beside: int = 0,
        definition: str = "",
    ) -> None:
        self.others = others
        self.log_lines = log_lines
        self.lives_beside = lives_beside
        self.definition = definition
        self.processes = processes


def detail(service: Service, around: Surroundings, now: float, style: Style) -> str:
    """Return the page of one service; `now` is the Unix time that relative times refer to."""
    rows = [
        *_state_rows(service, now, style),
        ("Beside it", _beside_text(around.lives_beside)),
        *_edge_rows(service, around.others, style),
        *firings.rows(service, now),
        *_history_rows(service, now),
        *_definition_rows(service, around.definition),
    ]
    lines = [_title(service, style), *(labelled(label, text) for label, text in rows if text)]
    lines += [
        labelled("Warning", style.paint("yellow", harmless(text))) for text in service["warnings"]
    ]
    if around.processes is not None:
        lines += ["", *_process_lines(around.processes)]
    if service["log_files"]:
        lines += ["", *log_lines(service, around.log_lines, style)]
    return "\n".join(lines)


def labelled(label: str, text: str) -> str:
    """Return one line of a page."""
    return f"  {label:<{_LABEL_WIDTH}}  {text}"


def _title(service: Service, style: Style) -> str:
    mark, color = MARKS[group_of(service)]
    about = f": {harmless(service['description'])}" if service["description"] else ""
    return f"{style.paint(color, mark)} {style.paint('bold', service['name'])}{about}"


def _state_rows(service: Service, now: float, style: Style) -> list[tuple[str, str]]:
    return [
        ("State", state_text(service, now, style)),
        ("Reason", _reason_text(service, now)),
        ("Says", says(service, now)),
        ("Wanted", wanted_text(service, now)),
        ("Enabled", _enabled_text(service, style)),
        ("Once", once_text(service)),
        ("Pending", _pending_text(service)),
    ]


def state_text(service: Service, now: float, style: Style) -> str:
    """Say how a service stands, since when, and its pid."""
    word = "failed" if service["failed"] else "done" if service["done"] else service["state"]
    text = style.paint(MARKS[group_of(service)][1], word)
    if service["since"]:
        since = service["since"]
        text += f" since {moment(since, now)}, {elapsed(now - since)} ago"
    return f"{text}, pid {service['pid']}" if service["pid"] else text


def _reason_text(service: Service, now: float) -> str:
    reason = service["reason"]
    if reason is None or reason["kind"] == "disabled":
        return ""
    text = harmless(reason["text"]) or reason["kind"]
    retry_at = reason["retry_at"]
    if service["failed"]:
        return f"{text}; try again with: virtsupctl start {service['name']}"
    return f"{text} {until(retry_at, now)}" if retry_at is not None else text


def _enabled_text(service: Service, style: Style) -> str:
    if service["enabled"]:
        return "yes"
    return style.paint("yellow", f"no; allow it with: virtsupctl enable {service['name']}")


def once_text(service: Service) -> str:
    """Say what the process that runs was given for this run alone; "" if it was nothing."""
    given = quoted(service["once"])
    return f"this process was started with --once {given}; the next one is not" if given else ""


def _pending_text(service: Service) -> str:
    if service["replacement_pending"]:
        name = service["name"]
        how = f"virtsupctl plan {name} says how"
        return f"its definition has changed ({how}); apply it with: virtsupctl restart {name}"
    if service["reload_pending"]:
        return f"its files have changed; apply them with: virtsupctl reload {service['name']}"
    return ""


def wanted_text(service: Service, now: float) -> str:
    """Say what is wanted of a service, by whom and since when."""
    text = "up" if service["wanted"] else "down"
    if service["wanted_by"]:
        text += f", by {harmless(service['wanted_by'])}"
    return f"{text}, {ago(service['wanted_since'], now)}" if service["wanted_since"] else text


def _beside_text(count: int) -> str:
    if not count:
        return ""
    return f"{count} process{'' if count == 1 else 'es'} in its cgroup that its stop leaves alone"


def _edge_rows(service: Service, others: dict[str, Service], style: Style) -> list[tuple[str, str]]:
    def named(names: list[str]) -> str:
        return ", ".join(_with_state(name, others, style) for name in names)

    return [
        ("Provides", ", ".join(service["provides"]) if len(service["provides"]) > 1 else ""),
        ("Requires", named(service["requires"])),
        ("Binds to", named(service["binds_to"])),
        ("Wants", named(service["wants"])),
        ("After", named(service["after"])),
        ("Before", named(service["before"])),
        ("Conflicts", named(service["conflicts"])),
        ("Needed by", named(needed_by(service, others))),
        ("Part of", named(service["part_of"])),
        ("Parts", named(_parts(service, others))),
    ]


def _parts(service: Service, others: dict[str, Service]) -> list[str]:
    found = (name for name, other in others.items() if {*other["part_of"]} & {*service["provides"]})
    return sorted(found)


def _with_state(name: str, others: dict[str, Service], style: Style) -> str:
    other = others.get(name)
    if other is None:
        return name
    group = group_of(other)
    word = "failed" if other["failed"] else other["state"]
    return name if word == "running" else f"{name} ({style.paint(MARKS[group][1], word)})"


def needed_by(service: Service, others: dict[str, Service]) -> list[str]:
    """Return the canonical names of the services that require `service` or bind to it, sorted."""
    own = set(service["provides"])
    return sorted(
        {
            other["name"]
            for other in others.values()
            if own.intersection(other["requires"]) or own.intersection(other["binds_to"])
        }
    )


def _history_rows(service: Service, now: float) -> list[tuple[str, str]]:
    count = service["restarts"]
    exits = service["exits"][:_SHOWN_EXITS] if service["timer"] is None else []
    return [
        ("Restarts", f"{count} by itself" if count else ""),
        *(
            ("Last exit" if position == 0 else "before", exit_text(one, now))
            for position, one in enumerate(exits)
        ),
    ]


def exit_text(one: Exit, now: float) -> str:
    """Say how and when a process ended."""
    return f"{one['text']}, {ago(one['at'], now)}"


def _definition_rows(service: Service, text: str) -> list[tuple[str, str]]:
    rows = definition.rows(text)
    is_signalled = bool(service["command"]) and "Stop" not in dict(rows)
    return [
        ("Kind", _kind_text(service)),
        ("Command", quoted(service["command"])),
        ("Domain", " of ".join(map(harmless, service["domain"] or ()))),
        *rows,
        ("Stop", _STOP_MODES.get(service["stop_mode"], service["stop_mode"]) * is_signalled),
        ("Actions", ", ".join(action["name"] for action in service["actions"])),
        ("Defined in", service["source"]),
    ]


def _kind_text(service: Service) -> str:
    traits = [service["kind"]]
    if service["transient"]:
        traits.append("vanishes when it ends")
    if service["command"] and service["kind"] not in ("one-shot", "timer"):
        traits.append("started again when it ends" if service["respawn"] else "not started again")
    return ", ".join(traits)


def _process_lines(processes: list[Process]) -> list[str]:
    if not processes:
        return ["  No processes."]
    rows = [
        (str(one["pid"]), size(one["memory_bytes"]), span(one["cpu_seconds"]), one["command"])
        for one in processes
    ]
    table = [("PID", "MEMORY", "CPU", "COMMAND"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    return [
        f"  {pid:>{widths[0]}}  {memory:>{widths[1]}}  {cpu:>{widths[2]}}  {harmless(command)}"
        for pid, memory, cpu, command in table
    ]


def size(count: int) -> str:
    """Say a number of bytes with three digits: "17.4 MiB"."""
    number = float(count)
    for unit in ("B", "KiB", "MiB"):
        if number < 1000:
            return f"{number:.0f} B" if unit == "B" else f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:.3g} GiB"


def log_lines(service: Service, lines: list[str], style: Style) -> list[str]:
    """Return the end of a service's output below the file it stands in."""
    end = [f"  {style.paint('dim', '|')} {style.fit(harmless(line), 4)}" for line in lines]
    return [labelled("Log", service["log_files"][0]), *end]
