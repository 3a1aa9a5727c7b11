"""The verb `status`."""

from __future__ import annotations

from contextlib import suppress

from virtsupd.cli.overview import overview
from virtsupd.errors import PeerDeniedError, VirtsupdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsupd.cli.detail import Surroundings
    from virtsupd.cli.session import Session
    from virtsupd.cli.wire import Others, Process, Service

_LOG_LINES = 10
_NOT_RUNNING = 3


def run(session: Session) -> int:
    """Show all services and return 0, or the named ones and return 3 if one is not running."""
    names = session.request.names
    reply = session.call("Status", {"names": names})
    services: list[Service] = reply["services"]
    if session.request.json:
        session.say_json(reply)
    elif not session.request.quiet:
        if names:
            # One that was not yet re-executed after an upgrade does not count them.
            counted: list[Others] = reply.get("others", [])
            counts = {other["name"]: other["count"] for other in counted}
            _show_each(session, services, counts)
        else:
            session.say(overview(reply["daemon"], services, session.now(), session.style))
    is_up = all(service["state"] == "running" for service in services)
    return 0 if is_up or not names else _NOT_RUNNING


def _show_each(session: Session, services: list[Service], beside: dict[str, int]) -> None:
    from virtsupd.cli.detail import detail  # noqa: PLC0415  the overview does without it

    others = _others(session, services)
    for position, service in enumerate(services):
        if position:
            session.say()
        around = _surroundings(session, service, others)
        around.lives_beside = beside.get(service["name"], 0)
        session.say(detail(service, around, session.now(), session.style))


def _others(session: Session, services: list[Service]) -> dict[str, Service]:
    """Return all services by each of their names; only `services` if the peer may not see all."""
    with suppress(PeerDeniedError):
        services = session.services([])
    return {name: service for service in services for name in service["provides"]}


def _surroundings(session: Session, service: Service, others: dict[str, Service]) -> Surroundings:
    from virtsupd.cli.detail import Surroundings  # noqa: PLC0415  the overview does without it

    lines = last_lines(session, service, _LOG_LINES) if service["log_files"] else []
    definition = _definition(session, service)
    return Surroundings(others, lines, _processes(session, service), definition=definition)


def _definition(session: Session, service: Service) -> str:
    try:
        text: str = session.call("Cat", {"name": service["name"]})["text"]
    except VirtsupdError:
        return ""
    return text


def _processes(session: Session, service: Service) -> list[Process] | None:
    if not session.request.processes:
        return None
    processes: list[Process] = session.call("Processes", {"name": service["name"]})["processes"]
    return processes


def last_lines(session: Session, service: Service, count: int) -> list[str]:
    """Return the end of a service's output, as much as the peer may read."""
    parameters = {"names": [service["name"]], "lines": count, "follow": False}
    try:
        return [line for reply in session.stream("Log", parameters) for line in reply["lines"]]
    except VirtsupdError:
        return []
