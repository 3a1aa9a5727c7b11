"""The link itself: stays connected, and does what virtsupd asks, several requests at a time.

It lives as long as its connection to virtsupd (standard input and output): at the end of that it
takes all it runs along. Its threads are few and short but for one that connects, and while nothing
happens all of them sleep.

Requests go in three lanes. What may take minutes (a save) or waits for a guest's agent never keeps
waiting what libvirt does at once, such as destroying a guest; and whoever asks for the list of all
domains while one is being made shares the next one: 200 guests that start make a few lists, not 200.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from virtsupd.libvirtlink.backend import Backend
from virtsupd.libvirtlink.lanes import Lane
from virtsupd.libvirtlink.messages import BadLineError, LinkError, News, checked, line, parsed

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 30.0
_STABLE_SECONDS = 5.0
"""A connection that lasted so long is made again at once when it is lost."""
_PROMPT = 8
_PATIENT = 16
"""Fewer than libvirtd has workers for (max_workers, 20): some stay free for what others ask."""


class Link:
    """Between virtsupd, on two descriptors, and one libvirt."""

    def __init__(self, backend: Backend, *, reading: int = 0, writing: int = 1) -> None:
        self._backend = backend
        self._reading = reading
        self._writing = writing
        self._write_lock = threading.Lock()
        self._nudged = threading.Event()
        self._lost = threading.Event()
        self._lists, self._prompt, self._patient = Lane(1), Lane(_PROMPT), Lane(_PATIENT)
        self._list_lock = threading.Lock()
        self._list_wanted: list[int] = []

    def run(self) -> None:
        """Serve until virtsupd is gone, or says what cannot be understood."""
        threading.Thread(target=self._stay_connected, daemon=True).start()
        try:
            for text in self._lines():
                self._take(parsed(text))
        except BadLineError as error:
            sys.stderr.write(f"libvirt link: {error}\n")

    def _lines(self) -> Iterator[bytes]:
        pending = b""
        while part := os.read(self._reading, 65536):
            *whole, rest = (pending + part).split(b"\n")
            yield from whole
            pending = checked(rest)

    def _take(self, request: dict[str, Any]) -> None:
        if request.get("do") == "nudge":
            self._nudged.set()
            return
        number = request.get("id")
        if not isinstance(number, int):
            raise BadLineError(f"not a request: {str(request)[:60]!r}")
        match request.get("do"):
            case "forget":
                self._patient.forget(number)
            case "domains":
                with self._list_lock:
                    self._list_wanted.append(number)
                self._lists.put(number, self._list)
            case _:
                self._lane(request).put(number, partial(self._answer, number, request))

    def _lane(self, request: dict[str, Any]) -> Lane:
        is_prompt = request.get("do") == "destroy" or request.get("how") == "acpi"
        return self._prompt if is_prompt else self._patient

    def _list(self) -> None:
        """Answer all who wait for a list that is made from now on."""
        with self._list_lock:
            wanted, self._list_wanted = self._list_wanted, []
        if wanted:
            self._answer(wanted[0], {"do": "domains"}, also=wanted[1:])

    def _answer(self, number: int, request: dict[str, Any], **others: list[int]) -> None:
        try:
            found = self._done(request)
        except LinkError as error:
            self._say(id=number, error=[error.kind, str(error)], **others)
        except Exception as error:  # noqa: BLE001  (the one guard of a request's thread)
            self._say(id=number, error=["failed", f"a defect of the link: {error!r}"], **others)
        else:
            self._say(id=number, ok=found, **others)

    def _done(self, request: dict[str, Any]) -> object:
        backend, domain = self._backend, str(request.get("domain"))
        match request.get("do"):
            case "domains":
                return backend.domains()
            case "start":
                backend.start(domain)
            case "shutdown":
                backend.shutdown(domain, str(request["how"]))
            case "save":
                backend.save(domain)
            case "resume":
                backend.resume(domain)
            case "destroy":
                backend.destroy(domain)
            case "ping":
                backend.ping(domain, float(request["seconds"]))
            case other:
                raise LinkError("failed", f"{other!r} is nothing that a link can do")
        return None

    def _stay_connected(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            self._nudged.clear()
            begun = time.monotonic()
            self._be_connected()
            if time.monotonic() - begun >= _STABLE_SECONDS or self._nudged.wait(pause):
                pause = _FIRST_PAUSE_SECONDS
            else:
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _be_connected(self) -> None:
        """Connect, and return when the connection is lost."""
        self._lost.clear()
        try:
            self._backend.connect(self._tell, self._lose)
        except LinkError as error:
            self._say(lost=str(error))
        except Exception as error:  # noqa: BLE001  (without this thread there would be no link, and nobody told)
            self._say(lost=f"a defect of the link: {error!r}")
        else:
            self._say(up=self._backend.name)
            self._lost.wait()

    def _tell(self, news: News) -> None:
        self._say(news=news)

    def _lose(self, why: str) -> None:
        """Tell it, at which virtsupd takes all that it has asked as unanswered."""
        self._say(lost=why)
        with self._list_lock:
            self._list_wanted.clear()
        for lane in (self._lists, self._prompt, self._patient):
            lane.clear()
        self._lost.set()

    def _say(self, **fields: object) -> None:
        text = line(**fields)
        try:
            with self._write_lock:
                while text:
                    text = text[os.write(self._writing, text) :]
        except OSError:
            end()  # nobody hears us any more


def end() -> None:
    """End with all that this process has started and not left."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)
