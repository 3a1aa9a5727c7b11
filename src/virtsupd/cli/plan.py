"""The verb `plan`, and what a reload says: per service what happens, and why, in the same lines.

`plan start`, `plan stop` and `plan restart` say what that command would touch.
"""

from __future__ import annotations

from virtsupd.cli.arguments import UsageError
from virtsupd.cli.problems import FAILED
from virtsupd.cli.reports import merged, report_text
from virtsupd.cli.style import harmless, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from virtsupd.cli.session import Session
    from virtsupd.cli.wire import ChangedKey, Step

_PHRASES = {
    "asked": ("was not needed, and is asked again", "was not needed, and is being asked again"),
    "started": ("is started", "is being started"),
    "added": (
        "is new, and stays down until it is started",
        "is new, and stays down until it is started",
    ),
    "forgotten": ("is forgotten", "is forgotten"),
    "pending": ("runs on; in force at its next start", "runs on; in force at its next start"),
    "reloaded": ("is told to read its files again", "has been told to read its files again"),
    "unread": ("is not told to read its files again", "has not been told to read its files again"),
    "unchanged": ("runs on; in force at once", "runs on; in force"),
}
"""What would happen, and what has happened."""
_COMMANDS = ("start", "stop", "restart")
_COLORS = {"stopped": "red", "forgotten": "red", "pending": "yellow", "unread": "yellow"}


def run(session: Session) -> int:
    """Print what a reload would do and return 0; one that would be refused is an error like any other.

    Raises:
        UsageError: a flag of start, stop and restart without one of these.
    """
    verb, *names = session.request.names or [""]
    if verb in _COMMANDS and names:
        return _command(session, verb, names)
    if session.request.guests or session.request.force:
        raise UsageError("--guests and --force go with plan start, stop or restart NAME", "plan")
    reply = session.call("Plan", {"names": session.request.names})
    if session.request.json:
        session.say_json(reply)
    else:
        show(session, reply, is_done=False)
    return 0


def _command(session: Session, verb: str, names: list[str]) -> int:
    """Print what a command about services would stop and start now, and what that would cost guests.

    A refusal comes first. Returns what the command would.
    """
    request = session.request
    flags = {key: True for key in ("guests", "force") if getattr(request, key)}
    reply = session.call("WouldTouch", {"verb": verb, "names": names, **flags})
    status = FAILED if reply["refusals"] else 0
    if request.json:
        session.say_json(reply)
        return status
    for report in merged(verb, reply["refusals"]):
        text = f"would be refused: {report_text(verb, '', report)}"
        session.complain(session.err_style.paint("red", text))
    _say_touched(session, verb, reply)
    return status


def _say_touched(session: Session, verb: str, reply: dict[str, Any]) -> None:
    returning = [name for name in reply["stopped"] if name not in reply["started"]]
    parts = {
        "stops": reply["stopped"],
        "starts": reply["started"],
        "comes back with that": returning if verb == "restart" else [],
    }
    for phrase, found in parts.items():
        if found:
            session.say(f"{phrase}: {', '.join(found)}")
    if reply["guests"]:
        text = f"ends guests: {', '.join(reply['guests'])}"
        session.say(session.style.paint("red", text))
    elif reply["stopped"]:
        session.say("no guest ends")
    for harm in reply["harms"] if session.request.force else ():  # else the refusal has said it
        session.say(session.style.paint("red", f"with --force: {harmless(harm)}"))
    if not reply["stopped"] and not reply["started"]:
        session.say(f"{verb} would change nothing")


def show(session: Session, reply: dict[str, Any], *, is_done: bool) -> None:
    """Print what a reload would do, or what one has done; what would not start comes first."""
    for warning in reply["warnings"]:
        session.complain(session.err_style.paint("yellow", f"warning: {harmless(warning)}"))
    steps: list[Step] = reply["steps"]
    shown = [step for step in steps if session.request.all or _is_news(step)]
    for step in shown:
        text = headline(step, is_done=is_done)
        session.say(f"{session.style.paint(_COLORS.get(step['fate'], ''), step['name'])}: {text}")
        for key in step["keys"]:
            session.say(f"    {key_line(step, key, arrow=session.style.is_unicode)}")
    if not shown:
        nothing = "the configuration is unchanged" if is_done else "a reload would change nothing"
        session.say(nothing)
    elif text := _guests_text(steps):
        session.say(text)


def _is_news(step: Step) -> bool:
    """Whether somebody would notice; a condition that does not hold here is asked at each reload."""
    if step["fate"] == "asked" and step["kind"] in ("condition", "target"):
        return step["changed"]
    return step["changed"] or step["fate"] != "unchanged"


def headline(step: Step, *, is_done: bool) -> str:
    """Return what happens to a service, in a few words."""
    fate, others = step["fate"], ", ".join(step["for_others"])
    if fate == "stopped":
        return _stop_text(others, is_done=is_done)
    text = _PHRASES[fate][is_done]
    if fate == "unchanged":
        return _in_force(step, text)
    if fate == "started":
        return f"{text} for {others}" if others else text
    if fate == "forgotten" and step["up"]:
        return f"{text}; it runs on"
    if step["command"]:
        return f"{text}: virtsupctl {quoted(step['command'])}{_cost(step)}"
    return text


def _stop_text(bonds: str, *, is_done: bool) -> str:
    verb = "is being stopped" if is_done else "is stopped"
    return f"{verb} until {bonds} runs" if bonds else f"{verb}, and is then forgotten"


def _in_force(step: Step, text: str) -> str:
    if not step["changed"]:
        return "unchanged"
    return text if step["up"] else "has changed; it is down"


def _cost(step: Step) -> str:
    """Return what a command ends beside the service itself."""
    guests = step["guests"]
    others = ", ".join(name for name in step["touches"] if name not in guests)
    parts = [
        "ends this guest" if step["kind"] == "guest" else "",
        f"also restarts {others}" if others else "",
        f"ends {'guest' if len(guests) == 1 else 'guests'} {', '.join(guests)}" if guests else "",
    ]
    found = "; ".join(part for part in (*parts, *map(harmless, step["harms"])) if part)
    return f" ({found})" if found else ""


def key_line(step: Step, key: ChangedKey, *, arrow: bool = True) -> str:
    """Return a changed key with its old and its new value, and when it holds if that differs."""
    place = f"{key['file'].rpartition('/')[2]}: " if key["file"] else ""
    note = _note(step, key)
    if not key["key"]:
        return f"{place}another content{note}"
    old, new = (
        harmless(text) if text is not None else "(not set)" for text in (key["old"], key["new"])
    )
    return f"{place}{harmless(key['key'])} = {old} {'→' if arrow else '->'} {new}{note}"


def _note(step: Step, key: ChangedKey) -> str:
    if step["fate"] != "pending" or key["when"] == "restart":
        return ""
    if key["when"] == "now":
        return " (at once)"
    return " (read again at once)" if step["told"] else " (not read again before)"


def _guests_text(steps: list[Step]) -> str:
    """Say that no guest ends by what a reload, which never ends one, leaves to do."""
    names = ", ".join(restartable(steps))
    return f"no guest ends by a restart of {names}" if names else ""


def restartable(steps: list[Step]) -> Iterator[str]:
    """Yield the services that a restart brings up to date at no guest's expense."""
    for step in steps:
        is_free = step["kind"] != "guest" and not step["guests"] and not step["harms"]
        if step["fate"] == "pending" and is_free:
            yield step["name"]
