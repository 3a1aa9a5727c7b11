"""What a service's definition says about its process and its probes, for `status NAME`.

The definition comes as `cat` shows it: TOML without the keys that are at their defaults.
"""

from __future__ import annotations

import tomllib

from virtsupd.cli.style import harmless, quoted
from virtsupd.times import span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FAILURE_MEANS = {"restart": "restart it", "degrade": "degrade it"}
_GUEST_STOPS = {
    "shutdown": "asks it to power off: its agent, or by the power button",
    "agent": "asks its agent to power off",
    "acpi": "presses its power button",
    "save": "saves its memory, or asks it to power off where that fails",
    "destroy": "destroys it at once, as if the power were cut",
    "leave": "lets go of it, and it runs on",
}
_MACHINE_STOPS = {
    "agent": "asks its guest agent to power it off",
    "powerdown": "presses its power button",
    "quit": "has QEMU quit",
    "signal": "sends the stop signal",
}
_TIMING = ("kind", "interval", "timeout", "failures", "on_failure")


def rows(text: str) -> list[tuple[str, str]]:
    """Return labels and values worth a line; none if the text cannot be read."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return []
    if "domain" in table:
        return [
            ("Ready", _probe(table["ready"]) if "ready" in table else "as soon as it runs"),
            ("Health", _health(table["health"]) if "health" in table else "not checked"),
            ("Respawn", _respawn_of_guest(table.get("respawn", {}))),
            ("Stop", _stop_of_guest(**table["stop"])),
        ]
    if "command" not in table:
        return [("Ready", _probe(table["ready"]))] if "ready" in table else []
    return [
        ("User", _user(table)),
        ("Directory", harmless(table.get("directory", ""))),
        ("Limits", ", ".join(_limit(*item) for item in table.get("limits", {}).items())),
        ("Sockets", ", ".join(_socket(one) for one in table.get("sockets", []))),
        ("Ready", _ready(table)),
        ("Health", _health(table["health"]) if "health" in table else "not checked"),
        *(
            [("Stop", _stop_of_machine(**table["stop"]))]
            if "steps" in table.get("stop", {})
            else []
        ),
    ]


def _user(table: dict[str, Any]) -> str:
    user = harmless(str(table.get("user", "that of virtsupd")))
    return f"{user}, group {harmless(str(table['group']))}" if "group" in table else user


def _limit(name: str, value: object) -> str:
    if isinstance(value, list) and len(value) == 2:
        return f"{name} {value[0]} (hard {value[1]})"
    return f"{name} {value}"


def _socket(socket: dict[str, Any]) -> str:
    facts = [socket["name"], *([socket["type"]] if "type" in socket else [])]
    return harmless(f"{socket['listen']} ({', '.join(facts)})")


def _ready(table: dict[str, Any]) -> str:
    if "ready" in table and table["ready"] != {"kind": "exit", "status": True}:
        return _probe(table["ready"])
    return "when it has ended well" if table.get("one_shot") else "as soon as it is started"


def _health(health: dict[str, Any]) -> str:
    failures, means = health["failures"], _FAILURE_MEANS.get(health["on_failure"], "")
    count = "1 failure" if failures == 1 else f"{failures} failures in a row"
    return f"{_probe(health)}, every {span(health['interval'])}; {count} {means}".rstrip()


def _respawn_of_guest(respawn: dict[str, Any] | bool) -> str:
    if isinstance(respawn, bool):
        return "not started again"
    is_any = respawn.get("on") == "end"
    return "started again when it ends" if is_any else "started again when it has crashed"


def _stop_of_guest(how: str, delay: float) -> str:
    """Say what a stop does to a guest; a way that is not known here stands as it is."""
    text = _GUEST_STOPS.get(how, how)
    return text if how in ("destroy", "leave") else f"{text}; destroyed after {span(delay)}"


def _stop_of_machine(steps: list[dict[str, Any]], **_: object) -> str:
    told = [
        f"{_MACHINE_STOPS.get(step['how'], step['how'])} ({span(step['time'])})" for step in steps
    ]
    return ", then ".join([*told, "kills it"])


def _rungs(rungs: list[dict[str, Any]]) -> str:
    """Say where a machine counts as running, and what is climbed beside that."""
    counting = [rung["rung"] for rung in rungs if rung.get("counts", True)]
    beside = [rung["rung"] for rung in rungs if not rung.get("counts", True)]
    text = f"at its rung {counting[-1]}, after {', '.join(counting[:-1])}" if counting[1:] else ""
    text = text or (f"at its rung {counting[0]}" if counting else "as soon as it is started")
    return f"{text}; beside that {', '.join(beside)}" if beside else text


def _probe(probe: str | dict[str, Any]) -> str:
    """Return a probe as its kind and what belongs to it: "tcp, port 80, host 127.0.0.1"."""
    if isinstance(probe, str):
        return probe
    if probe["kind"] == "machine":
        return _rungs(probe["rungs"])
    facts = [f"{key} {_value(value)}" for key, value in probe.items() if key not in _TIMING]
    timeout = [f"within {span(probe['timeout'])}"] if probe.get("timeout") else []
    return ", ".join([probe["kind"], *facts, *timeout])


def _value(value: object) -> str:
    return quoted([str(one) for one in value]) if isinstance(value, list) else harmless(str(value))
