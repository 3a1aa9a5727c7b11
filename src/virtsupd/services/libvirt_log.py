"""The action set-log of libvirt's daemons: what they log, changed while they run.

A program of its own, which virtsupd runs: `python -m virtsupd.services.libvirt_log DAEMON VIRT-ADMIN
URI LEVEL FILTERS OUTPUTS [FILTER…] [OPTION…]`, the first three after the URI being those of the table.

A daemon has no command that sets the level of what no filter is about. A last filter for everything,
`LEVEL:*`, does the same.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, TypeVar

from virtsupd.services.action_program import ActionParser, UsageError, json_text, told
from virtsupd.services.libvirt_asking import DaemonError, answer
from virtsupd.services.libvirt_values import (
    LogFilter,
    LogFilters,
    LogOutputs,
    log_filters,
    log_outputs,
)

LOG_DIRECTORY: Final = PurePosixPath("/var/log/libvirt")
"""Where whoever may run actions may have root write a file: not just anywhere."""

_EVERYTHING: Final = "*"
_LABEL: Final = re.compile(r"\A\s*Logging \w+:")
"""What virt-admin says before the value, unless it is told to be quiet."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Table:
    """What the daemon logs from its start on."""

    level: int
    filters: LogFilters
    outputs: LogOutputs


@dataclass(frozen=True, slots=True)
class Logging:
    """What the daemon logs now."""

    filters: LogFilters
    outputs: LogOutputs

    def lost(self, level: int) -> str:
        """Return what to say if an output takes less than the filters let through; "" if none.

        `level` is that of what no filter is about.
        """
        others = [item.level for item in self.filters if item.match == _EVERYTHING]
        wanted = min([*(others[:1] or [level]), *(item.level for item in self.filters)])
        taken = min(item.level for item in self.outputs)
        if wanted >= taken:
            return ""
        example = f"{wanted}:{str(self.outputs[0]).partition(':')[2]}"
        return (
            f"messages of level {wanted} go nowhere: outputs take level {taken} and above;"
            f' --outputs "{example}" lets them through'
        )


class Daemon:
    """A running daemon, and its logging through virt-admin."""

    def __init__(self, name: str, virt_admin: str, uri: str) -> None:
        self.name = name
        self._virt_admin = virt_admin
        self._uri = uri

    def logging(self) -> Logging:
        """Return what is in force.

        Raises:
            DaemonError: it does not answer, or not in words that are known.
        """
        filters, outputs = self._value("daemon-log-filters"), self._value("daemon-log-outputs")
        try:
            return Logging(_as_written(log_filters(filters)), log_outputs(outputs))
        except ValueError as error:
            raise DaemonError(f"{self.name} logs {filters!r} to {outputs!r}: {error}") from error

    def set_filters(self, filters: LogFilters) -> None:
        """Have it log by these filters."""
        self._admin("daemon-log-filters", str(filters))

    def set_outputs(self, outputs: LogOutputs) -> None:
        """Have it log to these outputs."""
        self._admin("daemon-log-outputs", str(outputs))

    def _value(self, command: str) -> str:
        return _LABEL.sub("", self._admin(command)).strip()

    def _admin(self, *command: str) -> str:
        return answer(self.name, [self._virt_admin, "--quiet", "--connect", self._uri, *command])


def _as_written(filters: LogFilters) -> LogFilters:
    """Return filters as they were set: the daemon shows "1:qemu" as "1:*qemu*"."""
    return LogFilters(LogFilter(item.level, item.match.strip("*") or "*") for item in filters)


def options(daemon: str, words: Sequence[str]) -> argparse.Namespace:
    """Read what whoever asks has added.

    Raises:
        UsageError: it is not allowed.
    """
    parser = ActionParser(
        f"virtsupctl set-log {daemon}",
        "Change what the running daemon logs; without anything, show it. A change holds until the"
        " daemon's next start.",
    )
    add = parser.add_argument
    add("filters", nargs="*", metavar="LEVEL:MATCH", help='filters, such as "1:qemu"; "": none')
    add("--level", type=int, choices=range(1, 5), help="level of what no filter is about")
    add("--outputs", metavar="OUTPUTS", help=f'such as "1:stderr"; files in {LOG_DIRECTORY} only')
    add("--reset", action="store_true", help="back to what the host file says")
    add("--json", action="store_true", help="print JSON")
    found = parser.parse_args(words)
    if found.reset and (found.filters or found.level or found.outputs is not None):
        raise UsageError("--reset goes alone")
    return found


def changed(before: Logging, table: Table, wanted: argparse.Namespace) -> Logging:
    """Return what shall be in force.

    Raises:
        UsageError: the daemon would refuse it, or it would have root write anywhere.
    """
    if wanted.reset:
        return Logging(table.filters, table.outputs)
    filters, outputs = before.filters, before.outputs
    if wanted.filters:
        filters = _checked("filters", log_filters, " ".join(wanted.filters))
    if wanted.level is not None:
        others = [item for item in filters if item.match != _EVERYTHING]
        filters = LogFilters([*others, LogFilter(wanted.level, _EVERYTHING)])
    if wanted.outputs is not None:
        outputs = _checked("--outputs", log_outputs, wanted.outputs)
        _check_places(outputs, table.outputs)
    return Logging(filters, outputs)


def _checked(what: str, parse: Callable[[object], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{what}: must be {error}") from error


def _check_places(outputs: LogOutputs, allowed: LogOutputs) -> None:
    """Refuse files elsewhere than in libvirt's directory, but for those that the table names."""
    named = {item.target for item in allowed}
    for item in outputs:
        if item.destination == "file" and item.target not in named:
            place = PurePosixPath(item.target)
            if place.parent != LOG_DIRECTORY or place.name in {"", ".."}:
                raise UsageError(
                    f"--outputs: found {item.target}, must be a file in {LOG_DIRECTORY}, or one"
                    " that log_outputs of the host file names"
                )


def main(words: Sequence[str]) -> int:
    """Change what is to be changed and print what is in force; return the exit code."""
    return told("set the log", lambda: _carry_out(words))


def _carry_out(words: Sequence[str]) -> str:
    name, virt_admin, uri, level, filters, outputs, *added = words
    table = Table(int(level), log_filters(filters), log_outputs(outputs))
    daemon, wanted = Daemon(name, virt_admin, uri), options(name, added)
    before = daemon.logging()
    after = changed(before, table, wanted)
    if after.outputs != before.outputs:
        daemon.set_outputs(after.outputs)
    if after.filters != before.filters:
        daemon.set_filters(after.filters)
    return _report(name, daemon.logging(), table, as_json=wanted.json)


def _report(name: str, now: Logging, table: Table, *, as_json: bool) -> str:
    facts = {"filters": str(now.filters), "outputs": str(now.outputs)}
    if as_json:
        return json_text(facts)
    lines = [f"{key:9}{value or '(none)'}" for key, value in facts.items()]
    if now != Logging(table.filters, table.outputs):
        until = "start" if name == "libvirtd" else "start or reload"
        lines.append(f"until its next {until}; then what the host file says holds again")
    if lost := now.lost(table.level):
        lines.append(lost)
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
