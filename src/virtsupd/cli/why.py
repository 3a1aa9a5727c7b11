"""The verb `why`: the chain of causes behind the state of a service."""

from __future__ import annotations

from virtsupd.cli.detail import (
    exit_text,
    labelled,
    log_lines,
    once_text,
    state_text,
    wanted_text,
)
from virtsupd.cli.overview import MARKS, group_of
from virtsupd.cli.style import harmless
from virtsupd.times import ago, moment, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsupd.cli.session import Session
    from virtsupd.cli.style import Style
    from virtsupd.cli.wire import Explanation, Link, Next

_ENDED_BY_ITSELF = ("failed", "backing-off", "finished", "not-needed", "waiting", "degraded")


def run(session: Session) -> int:
    """Explain the named services and return 0, whatever their state."""
    reply = session.call("Why", {"names": session.request.names})
    if session.request.json:
        session.say_json(reply)
        return 0
    for position, explanation in enumerate(reply["explanations"]):
        if position:
            session.say()
        session.say("\n".join(page(explanation, session.now(), session.style)))
    return 0


def page(explanation: Explanation, now: float, style: Style) -> list[str]:
    """Return the lines for one service: each cause stands below its consequence, further right."""
    depths: dict[str, int] = {explanation["name"]: 0}
    lines: list[str] = []
    links = explanation["links"]
    for link in links:
        depth = depths.setdefault(link["service"]["name"], 0)
        for cause in link["causes"]:
            depths.setdefault(cause, depth + 1)
        lines += [
            "  " * depth + line for line in _link(link, now, style, is_asked=link is links[0])
        ]
    hidden = [name for name in depths if name not in {link["service"]["name"] for link in links}]
    return [*lines, *(f"  {name}: you may not look at it" for name in hidden)]


def _link(link: Link, now: float, style: Style, *, is_asked: bool) -> list[str]:
    service = link["service"]
    mark, color = MARKS[group_of(service)]
    name = style.paint("bold", service["name"])
    rows = [
        ("Why", _why(link, now)),
        ("Once", once_text(service)),
        ("Wanted", wanted_text(service, now) if is_asked else ""),
        ("Needed by", ", ".join(link["needed_by"]) if is_asked else ""),
        ("Last exit", _last_exit(link, now)),
        ("Next", _next(link["next"], now)),
    ]
    log = log_lines(service, link["log"], style) if link["log"] else []
    return [
        f"{style.paint(color, mark)} {name}: {state_text(service, now, style)}",
        *(labelled(label, text) for label, text in rows if text),
        *log,
    ]


def _why(link: Link, now: float) -> str:
    since, text = link["since"], harmless(link["why"])
    is_told = since is None or since == link["service"]["since"]
    return text if is_told or since is None else f"{text}, {ago(since, now)}"


def _last_exit(link: Link, now: float) -> str:
    service = link["service"]
    last, reason = service["last_exit"], service["reason"]
    is_of_interest = reason is not None and reason["kind"] in _ENDED_BY_ITSELF
    return exit_text(last, now) if last and is_of_interest and not link["causes"] else ""


def _next(coming: Next, now: float) -> str:
    text, at = harmless(coming["text"]), coming["at"]
    if at is not None:
        text += f" at {moment(at, now)}, {until(at, now)}"
    if coming["then"]:
        text += f"; then {harmless(coming['then'])}"
    if coming["command"]:
        text += f": virtsupctl {' '.join(coming['command'])}"
    return text
