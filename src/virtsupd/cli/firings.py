"""What `virtsupctl` shows of a timer: when it fires, what runs, what ran."""

from __future__ import annotations

from virtsupd.cli.style import harmless
from virtsupd.times import ago, elapsed, moment, span, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsupd.cli.wire import JobRun, Service, Timer

_SHOWN_RUNS = 5


def next_text(timer: Timer, now: float) -> str:
    """Say when a timer fires next, or why not, in a few words."""
    fires_at, held_until = timer["fires_at"], timer["held_until"]
    if timer["held"]:
        return f"held until {moment(held_until, now)}" if held_until is not None else "held"
    if timer["missed_at"] is not None:
        return f"missed {ago(timer['missed_at'], now)}; runs when all it requires does"
    return f"fires {until(fires_at, now)}" if fires_at is not None else "fires no more"


def rows(service: Service, now: float) -> list[tuple[str, str]]:
    """Return what the page of a service says of its timer, as labels and texts."""
    timer = service["timer"]
    if timer is None:
        return []
    skipped = timer["skipped"]
    times = "once" if skipped == 1 else f"{skipped} times"
    return [
        ("Timer", "; ".join(map(harmless, timer["expressions"]))),
        ("Next", _next_row(service, timer, now)),
        ("Job", _job_text(timer, now)),
        *(
            ("Last runs" if position == 0 else "before", run_text(run, now))
            for position, run in enumerate(timer["runs"][:_SHOWN_RUNS])
        ),
        ("Skipped", f"{times}, while a job ran" if skipped else ""),
    ]


def _next_row(service: Service, timer: Timer, now: float) -> str:
    if service["state"] != "running":
        return "not armed"
    text = next_text(timer, now)
    if timer["held"]:
        return f"{text}; let it fire with: virtsupctl release {service['name']}"
    at = timer["fires_at"]
    return f"{text}, {moment(at, now)}" if at is not None else text


def _job_text(timer: Timer, now: float) -> str:
    job = timer["job"]
    if job is None:
        return ""
    return f"runs for {elapsed(now - job['began'])}, started by {harmless(job['cause'])}"


def run_text(run: JobRun, now: float) -> str:
    """Say how and when a job ended, and how long it took."""
    return f"{run['text']} after {span(run['ended'] - run['began'])}, {ago(run['ended'], now)}"
