"""One run of virtsupctl: what was asked, the connection, and where output goes."""

from __future__ import annotations

import json
import time

from virtsupd.cli.style import style_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TextIO

    from virtsupd.cli.arguments import Request
    from virtsupd.cli.wire import Caller, Service

DEFAULT_SOCKET = "/run/virtsupd/control"


class Session:
    """What the verbs work with. `client` connects at the first call; close it at the end.

    `--timeout` is one deadline for the whole run, from here on.
    """

    def __init__(self, request: Request, client: Caller, out: TextIO, err: TextIO) -> None:
        self.request = request
        self.client = client
        self.out = out
        self.err = err
        self.style = style_of(out, no_color=request.no_color)
        self.err_style = style_of(err, no_color=request.no_color)
        self._deadline = None if request.timeout is None else time.monotonic() + request.timeout

    def call(self, method: str, parameters: dict[str, object] | None = None) -> dict[str, Any]:
        """Call a method of virtsupd and return its reply; raises what `Client.call` does."""
        self._spend()
        return self.client.call(method, parameters)

    def stream(
        self, method: str, parameters: dict[str, object] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Call a method with many replies and yield each; raises what `Client.stream` does."""
        self._spend()
        for reply in self.client.stream(method, parameters):
            yield reply
            self._spend()

    def services(self, names: list[str]) -> list[Service]:
        """Return the named services, or all of them for no names."""
        services: list[Service] = self.call("Status", {"names": names})["services"]
        return services

    def now(self) -> float:
        """Return the Unix time."""
        return time.time()

    def say(self, text: str = "") -> None:
        """Print an answer, unless --quiet."""
        if not self.request.quiet:
            print(text, file=self.out)

    def complain(self, text: str) -> None:
        """Print what went wrong to standard error, --quiet or not."""
        self.out.flush()
        print(text, file=self.err)

    def say_json(self, document: object) -> None:
        """Print one JSON document: indented for a person, on one line for a program."""
        indent = 2 if self.out.isatty() else None
        print(json.dumps(document, indent=indent, ensure_ascii=False), file=self.out)

    def say_json_line(self, document: object) -> None:
        """Print one JSON document of a stream, on one line, at once."""
        print(json.dumps(document, ensure_ascii=False), file=self.out, flush=True)

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    def _spend(self) -> None:
        """Give the next answer what is left of the deadline."""
        if self._deadline is not None:
            self.client.timeout = max(self._deadline - time.monotonic(), 0.0)
