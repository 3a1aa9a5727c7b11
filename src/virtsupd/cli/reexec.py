"""virtsupctl reexec: virtsupd becomes its new program, and that one answers."""

from __future__ import annotations

from virtsupd.cli.style import harmless
from virtsupd.errors import ReexecError, UnreachableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsupd.cli.session import Session


def run(session: Session) -> int:
    """Have it done, wait until the new program answers, and return 0.

    Raises:
        ReexecError: the new program was refused, or virtsupd could not become it; the message says
            why. virtsupd goes on as it was.
        UnreachableError: the new program has ended at its start.
    """
    told = session.call("Reexec")
    session.client.await_end()
    try:
        daemon = session.call("Status", {"names": []})["daemon"]
    except UnreachableError as error:
        text = (
            "the new program does not answer; the services run on, and are taken over by the next"
        )
        raise UnreachableError(f"{text} virtsupd that starts: {error}") from error.__cause__
    if daemon["reexecs"] == told["reexecs"]:
        raise ReexecError(_last_warning(daemon["warnings"]))
    if session.request.json:
        session.say_json({"version": daemon["version"], "before": told["version"]})
        return 0
    before, now = harmless(told["version"]), harmless(daemon["version"])
    what = f"virtsupd {before} is {now} now" if before != now else f"virtsupd {now} goes on anew"
    session.say(f"{what}, pid {daemon['pid']}")
    return 0


def _last_warning(warnings: list[str]) -> str:
    """Return why virtsupd is the same as before."""
    found = [text for text in warnings if "re-execute" in text]
    return found[-1] if found else "virtsupd goes on as it was; its log says why"
