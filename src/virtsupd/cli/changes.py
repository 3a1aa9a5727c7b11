"""What happened to a service, as a line for people and as a short record for programs."""

from __future__ import annotations

from virtsupd.cli.overview import pending_text, restarts_text
from virtsupd.cli.style import harmless
from virtsupd.times import span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsupd.cli.wire import Event, Exit, Service, ShortEvent

_EXITED = "service exited"
_FAILED = "service failed"
_PROGRESS = "service progress"


def change_line(event: Event) -> str:
    """Return one change of a service: "web stopped, exited with code 3; starts again in 0.1 s".

    Warnings of the service are left out: they are no news at each of its changes.
    """
    service = event["service"]
    if event["event"].startswith("guest"):  # one that runs through it: nothing changed of itself
        return f"{service['name']}: {event['event']}"
    happening, text = _happening(event), _circumstances(event)
    if text.startswith(f"{happening} "):
        return f"{service['name']} {text}"
    pid = f", pid {service['pid']}" if service["pid"] else ""
    colon = ": " if event["event"] == _FAILED else ", "
    return f"{service['name']} {happening}{pid}{f'{colon}{text}' if text else ''}"


def is_echo(event: Event) -> bool:
    """Whether it says nothing new to a reader: a stop that the exit told just before began."""
    service, last = event["service"], event["service"]["last_exit"]
    return (
        event["event"] == "service stopping" and last is not None and last["at"] == service["since"]
    )


def as_event(service: Service) -> Event:
    """Return the last change of a service as an event."""
    name = _FAILED if service["failed"] else f"service {service['state']}"
    return {"event": name, "at": service["since"], "service": service}


def shortened(event: Event) -> ShortEvent:
    """Return an event without the service's definition and its past."""
    service = event["service"]
    return {
        "event": event["event"],
        "at": event["at"],
        "service": {
            "name": service["name"],
            "state": service["state"],
            "pid": service["pid"],
            "reason": service["reason"],
            "exit": service["last_exit"],
        },
    }


def history(services: list[Service]) -> list[tuple[ShortEvent, str]]:
    """Return what the daemon remembers, oldest first: each event, and its line ("" for an echo).

    Of a service's past its states and exits are known, of its present everything.
    """
    found = [one for service in services for one in (*_past_exits(service), *_changes(service))]
    return sorted(found, key=lambda one: one[0]["at"])


def _happening(event: Event) -> str:
    """Say what happened in a word or two."""
    last = event["service"]["last_exit"]
    if event["event"] == _EXITED and last is not None:
        return harmless(last["text"])
    if event["event"] == _PROGRESS:
        return event["service"]["state"]
    return event["event"].removeprefix("service ")


def _circumstances(event: Event) -> str:
    """Say why, what comes next, and what else an operator should know at this change."""
    service, name = event["service"], event["event"]
    if name == _EXITED or (service["failed"] and name != _FAILED):
        return ""
    is_alive = service["state"] != "stopped"
    restarts = restarts_text(service) if name == "service running" else ""
    parts = [
        _reason(event),
        harmless(service["status_text"]) if is_alive else "",
        f"{restarts} so far" if restarts else "",
        pending_text(service),
    ]
    return "; ".join(part for part in parts if part)


def _reason(event: Event) -> str:
    reason = event["service"]["reason"]
    if reason is None:
        return ""
    text, retry_at = harmless(reason["text"]) or reason["kind"], reason["retry_at"]
    return text if retry_at is None else f"{text} in {span(max(retry_at - event['at'], 0.0))}"


def _past_exits(service: Service) -> list[tuple[ShortEvent, str]]:
    return [
        (
            _past(service, _EXITED, one["at"], _state_at(service, one["at"]), one),
            _exit_line(service, one),
        )
        for one in reversed(service["exits"])
    ]


def _exit_line(service: Service, one: Exit) -> str:
    return f"{service['name']} {harmless(one['text'])}"


def _state_at(service: Service, at: float) -> str:
    """Return the state that an exit led to at once: a one-shot is done, all else stops."""
    is_done = {"state": "running", "at": at} in service["changes"]
    return "running" if is_done else "stopping"


def _changes(service: Service) -> list[tuple[ShortEvent, str]]:
    """Return the changes of state, oldest first, the last of them with all that is known of it."""
    told = {one["at"] for one in service["exits"]}
    past = [
        (
            _past(service, f"service {one['state']}", one["at"], one["state"]),
            ""
            if one["state"] == "stopping" and one["at"] in told
            else f"{service['name']} {one['state']}",
        )
        for one in reversed(service["changes"][1:])
    ]
    if not service["changes"]:
        return past
    last = as_event(service)
    return [*past, (shortened(last), "" if is_echo(last) else change_line(last))]


def _past(
    service: Service, event: str, at: float, state: str, last: Exit | None = None
) -> ShortEvent:
    """Return an event of which the rest has been forgotten."""
    return {
        "event": event,
        "at": at,
        "service": {
            "name": service["name"],
            "state": state,
            "pid": None,
            "reason": None,
            "exit": last,
        },
    }
