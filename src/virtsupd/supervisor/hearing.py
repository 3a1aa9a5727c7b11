"""What a service says on its notify socket: who is believed, and which events that makes."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from virtsupd.core.events import BecameReady, Event, HealthChanged, Told
from virtsupd.core.spec import NotifyProbe
from virtsupd.process.notify import NotifyMessage
from virtsupd.supervisor.runs import Run


def told_by(run: Run, message: NotifyMessage, now: float) -> Iterator[Event]:
    """Feed the run's watchdog and yield what a message says; nothing if it is not the service's.

    `now` is monotonic seconds. A sender that has ended and was reaped cannot be looked up any more:
    one of the service's user, or root, is believed in what does little harm, a status text and a
    sign of life. All else, READY=1 above all, takes a process that is there to be looked up:
    systemd-notify(1) waits until its message was read (BARRIER=1, since version 246).
    """
    if not run.owns(message.pid):
        if not _is_vanished_kin(run, message):
            return
        message = _harmless(message)
    name, generation, fields = run.name, run.generation, message.fields
    if run.watchdog is not None:
        run.watchdog.feed(message, now)
        if fields.get("WATCHDOG") == "trigger":
            yield HealthChanged(name, generation, "it said WATCHDOG=trigger")
    yield from _told(run, fields)
    if fields.get("READY") == "1" and isinstance(run.ready_probe, NotifyProbe):
        yield BecameReady(name, generation)


def _told(run: Run, fields: Mapping[str, str]) -> Iterator[Told]:
    if "STATUS" in fields:
        yield Told(run.name, run.generation, "status", fields["STATUS"])
    if fields.get("STOPPING") == "1":
        yield Told(run.name, run.generation, "stopping")
    if fields.get("RELOADING") == "1":
        yield Told(run.name, run.generation, "reloading")


def _is_vanished_kin(run: Run, message: NotifyMessage) -> bool:
    return not Path(f"/proc/{message.pid}").exists() and message.uid in (0, run.uid)


def _harmless(message: NotifyMessage) -> NotifyMessage:
    fields = {
        name: value
        for name, value in message.fields.items()
        if name == "STATUS" or (name, value) == ("WATCHDOG", "1")
    }
    return replace(message, fields=fields)
