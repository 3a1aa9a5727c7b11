"""What became of a command for each service it named, as sentences."""

from __future__ import annotations

from virtsupd.cli.style import harmless

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsupd.cli.wire import Report

_OUTCOMES = {
    "start": "running",
    "stop": "stopped",
    "restart": "running",
    "reload": "reloaded",
    "enable": "enabled",
    "disable": "disabled",
    "trigger": "triggered",
    "hold": "held",
    "release": "released",
}
GOOD = ("done", "already", "not-needed")
"""Results that fail no command."""


def merged(verb: str, reports: list[Report]) -> list[Report]:
    """Return the reports with one for all services that are refused for the same reason, at the first."""
    together: dict[object, list[Report]] = {}
    for position, report in enumerate(reports):
        is_refusal = report["result"] == "refused" and report["message"]
        key = _reason(verb, report) if is_refusal else position
        together.setdefault(key, []).append(report)
    return [_for_all(verb, alike) for alike in together.values()]


def _for_all(verb: str, alike: list[Report]) -> Report:
    first = alike[0]
    if len(alike) == 1:
        return first
    name = ", ".join(report["name"] for report in alike)
    message = f"cannot {verb} {name}: {_reason(verb, first)}"
    return {"name": name, "result": first["result"], "message": message}


def _reason(verb: str, report: Report) -> str:
    """Return why something was refused, without what was refused."""
    name = report["name"]
    return report["message"].removeprefix(f"cannot {verb} {name}: ").removeprefix(f"{name}: ")


def report_text(verb: str, state: str, report: Report) -> str:
    """Return what became of `verb` for one service as a sentence; `state` is what wait waits for."""
    name, result, message = report["name"], report["result"], harmless(report["message"])
    if message:
        is_whole = message.startswith((f"{name} ", f"{name}:", f"cannot {verb} {name}:"))
        return message if is_whole else f"{name}: {message}"
    outcome = _OUTCOMES.get(verb, state)
    if result in ("done", "already"):
        return f"{name} is {'already ' if result == 'already' else ''}{outcome}"
    if result == "not-needed":
        return f"{name} is not needed here"
    return f"{name}: {result}"
