"""A libvirt link on its own, and somebody who speaks with it as virtsupd does."""

import itertools
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

HEAR_SECONDS = 20.0

Message = dict[str, Any]


class RefusedError(Exception):
    """The link answered with an error."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class LinkProcess:
    """The process, and all that it has said."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.heard: list[Message] = []
        self._writing = process.stdin
        self._reading = process.stdout.fileno()
        self._rest = b""
        self._numbers = itertools.count(1)
        self._seen = 0

    def send(self, text: bytes) -> None:
        """Write bytes as they are."""
        self._writing.write(text)
        self._writing.flush()

    def hear(self, seconds: float = HEAR_SECONDS, **expected: object) -> Message:
        """Return the next message that has these values, beyond those that were heard before.

        Raises:
            AssertionError: none came.
        """
        return self.hear_if(lambda message: bool(expected.items() <= message.items()), seconds)

    def hear_if(
        self, is_meant: Callable[[Message], bool], seconds: float = HEAR_SECONDS
    ) -> Message:
        """Return the next message that is meant, beyond those that were heard before."""
        deadline = time.monotonic() + seconds
        while True:
            while self._seen < len(self.heard):
                message = self.heard[self._seen]
                self._seen += 1
                if is_meant(message):
                    return message
            self._read(deadline)

    def news(self, domain: str, *words: str, seconds: float = HEAR_SECONDS) -> list[Any]:
        """Return the next news of a domain; with state and perhaps reason: the next with these."""

        def is_meant(message: Message) -> bool:
            news = message.get("news", [])
            return bool(news[: 1 + len(words)] == [domain, *words])

        return list(self.hear_if(is_meant, seconds)["news"])

    def request(self, do: str, **fields: object) -> int:
        """Ask, wait for nothing, and return the number that the answer will have."""
        number = next(self._numbers)
        self.send(json.dumps({"id": number, "do": do, **fields}).encode() + b"\n")
        return number

    def ask(self, do: str, **fields: object) -> Any:
        """Ask, and return what is answered; news that come before are heard later.

        Raises:
            RefusedError: it is an error.
        """
        number = self.request(do, **fields)
        deadline = time.monotonic() + HEAR_SECONDS
        while not (found := [m for m in self.heard if _answers(m, number)]):
            self._read(deadline)
        [answer] = found
        if "error" in answer:
            raise RefusedError(*answer["error"])
        return answer["ok"]

    def nudge(self) -> None:
        """Have it try at once to connect."""
        self.send(b'{"do":"nudge"}\n')

    def state(self, domain: str) -> list[Any] | None:
        """Return what the link's list says of a domain."""
        return next((news for news in self.ask("domains") if news[0] == domain), None)

    def _read(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        ready, _, _ = select.select([self._reading], [], [], max(left, 0))
        assert ready, f"nothing more was said; before: {self.heard}"
        part = os.read(self._reading, 65536)
        assert part, f"the link has ended; before: {self.heard}"
        *lines, self._rest = (self._rest + part).split(b"\n")
        self.heard += [json.loads(line) for line in lines]


def _answers(message: Message, number: int) -> bool:
    return message.get("id") == number or number in message.get("also", [])


@contextmanager
def link(
    *words: str, enter: Sequence[str] = (), environment: dict[str, str] | None = None
) -> Iterator[LinkProcess]:
    """Run `python -m virtsupd.libvirtlink WORDS`, and end it by the end of its standard input."""
    process = subprocess.Popen(
        [*enter, sys.executable, "-I", "-m", "virtsupd.libvirtlink", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | (environment or {}),
        start_new_session=True,
    )
    with process:
        try:
            yield LinkProcess(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(HEAR_SECONDS)
