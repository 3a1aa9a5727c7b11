"""What a command waits for, shown on standard error while it waits.

On a terminal one line is written over again and again: "starting libvirtd (2 s, waits for
virtlogd)". Elsewhere, or with --verbose, each change is a line of its own; without --verbose a
program that reads us sees nothing.
"""

from __future__ import annotations

import threading
import time

from virtsupd.cli.changes import change_line, is_echo
from virtsupd.cli.style import harmless
from virtsupd.times import elapsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from virtsupd.cli.style import Style
    from virtsupd.cli.wire import Event, HostShutdown, Service

_FIRST_LOOK_SECONDS = 0.25
_TICK_SECONDS = 1.0
_CLEAR_LINE = "\r\x1b[K"


class Progress:
    """The services a command waits for, by the order in which they began to change.

    `doing` is what the command does to `names` ("starting"). Lines are drawn by a thread of their
    own, so that the seconds pass while the client sleeps on its socket; `close` ends it and leaves
    the line empty.
    """

    def __init__(self, doing: str, names: list[str], now: Callable[[], float] = time.time) -> None:
        self._doing = doing
        self._names = names
        self._now = now
        self._began = now()
        self._lock = threading.Lock()
        self._moving: dict[str, Service] = {}
        self._ended = threading.Event()
        self._stream: TextIO | None = None
        self._drawn = False
        self._thread: threading.Thread | None = None
        self._prints_lines = False
        self._style: Style | None = None
        self._shutdown: Callable[[float], str] | None = None
        self._said = ""

    def show_on(self, stream: TextIO, style: Style, *, verbose: bool) -> None:
        """Write to `stream` from now on: one line that changes, or lines, or nothing."""
        self._stream, self._style = stream, style
        self._prints_lines = verbose
        if style.can_redraw and not verbose:
            self._thread = threading.Thread(target=self._draw_until_closed, daemon=True)
            self._thread.start()

    def update(self, event: Event) -> None:
        """Take note of a change."""
        service = event["service"]
        with self._lock:
            self._moving.pop(service["name"], None)
            if is_moving(service):
                self._moving[service["name"]] = service
        if self._prints_lines and self._stream is not None and not is_echo(event):
            print(change_line(event), file=self._stream, flush=True)

    def waits_for(self, shutdown: HostShutdown) -> None:
        """Show what a shutdown waits for, until the next call."""
        from virtsupd.cli.ending import waits  # noqa: PLC0415  only a shutdown needs it

        with self._lock:
            self._shutdown = lambda now: waits(shutdown, now)
        text = waits(shutdown, None)
        if self._prints_lines and self._stream is not None and text != self._said:
            print(text, file=self._stream, flush=True)
        self._said = text

    def close(self) -> None:
        """Stop drawing and clear the line; the second time do nothing."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if self._drawn and self._stream is not None:
            self._drawn = False
            self._stream.write(_CLEAR_LINE)
            self._stream.flush()

    def line(self) -> str:
        """Return what is waited for at this moment."""
        now = self._now()
        with self._lock:
            moving = list(self._moving.values())
            if self._shutdown is not None:
                return f"{self._doing} ({elapsed(now - self._began)}): {self._shutdown(now)}"
        if not moving:
            return f"{self._doing} {', '.join(self._names)} ({elapsed(now - self._began)})".strip()
        first = moving[0]
        text = f"{_doing(first)} {first['name']} ({_waiting_text(first, now)})"
        others = len(moving) - 1
        return f"{text} and {others} more" if others else text

    def _draw_until_closed(self) -> None:
        pause = _FIRST_LOOK_SECONDS
        while not self._ended.wait(pause):
            self._draw()
            pause = _TICK_SECONDS

    def _draw(self) -> None:
        if self._stream is None or self._style is None:
            return
        self._drawn = True
        self._stream.write(_CLEAR_LINE + self._style.fit(self.line(), 1))
        self._stream.flush()


def is_moving(service: Service) -> bool:
    """Whether something is under way for a service, or will be by itself."""
    if service["state"] in ("starting", "stopping"):
        return True
    reason = service["reason"]
    return reason is not None and reason["kind"] in ("waiting", "backing-off")


def _doing(service: Service) -> str:
    state = service["state"]
    return state if state in ("starting", "stopping") else "waiting for"


def _waiting_text(service: Service, now: float) -> str:
    reason = service["reason"]
    why = harmless(reason["text"]) if reason is not None else ""
    says = harmless(service["status_text"]) if service["state"] != "stopped" else ""
    text = "; ".join(part for part in (why, says) if part)
    return ", ".join(part for part in (elapsed(now - service["since"]), text) if part)
