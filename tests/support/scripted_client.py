"""The port double of virtsupctl's verbs: a client that answers what the test wrote down."""

import io
from collections.abc import Iterable, Iterator
from typing import Any

from virtsupd.cli.arguments import parse
from virtsupd.cli.session import Session

Answers = dict[str, list[Any]]
"""For each bare method the replies in order; an exception among them is raised."""


class ScriptedClient:
    """Answers each call with the replies of its method, again and again; keeps the calls."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, object]]] = []
        self.timeout: float | None = None
        self.peer_uid = 0
        self.is_closed = False

    def call(self, method: str, parameters: dict[str, object] | None = None) -> dict[str, Any]:
        """Return the first reply."""
        return next(self.stream(method, parameters))

    def stream(
        self, method: str, parameters: dict[str, object] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield each reply."""
        self.calls.append((method, parameters or {}))
        for reply in self.answers[method]:
            if isinstance(reply, BaseException):
                raise reply
            yield {key: value for key, value in reply.items() if key != "continues"}

    def await_end(self) -> None:
        """Note it among the calls."""
        self.calls.append(("await_end", {}))

    def close(self) -> None:
        """Note it."""
        self.is_closed = True


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """Claim it."""
        return True


class Run:
    """One verb with a scripted client: `out` and `err` hold what was printed."""

    def __init__(self, words: Iterable[str], answers: Answers, *, terminal: bool = False) -> None:
        self.client = ScriptedClient(answers)
        self._out, self._err = (
            (Terminal(), Terminal()) if terminal else (io.StringIO(), io.StringIO())
        )
        self.session = Session(parse(list(words)), self.client, self._out, self._err)

    @property
    def out(self) -> str:
        """What went to standard output."""
        return self._out.getvalue()

    @property
    def err(self) -> str:
        """What went to standard error."""
        return self._err.getvalue()
