"""Services as text on either wire, each rendered once: what did not change costs a comparison.

Replies share the rendered pieces, so a hundred clients that do not read hold one copy. Rendering
much at once lets others have their turn in between.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

from virtsupd.control import herd_records, herd_replies
from virtsupd.control.backend import Change, DaemonFacts
from virtsupd.control.records import daemon_record, event_time, link_record, service_record
from virtsupd.control.sexp import Symbol
from virtsupd.control.sexp_writer import write
from virtsupd.core.chain import Link
from virtsupd.core.names import Name
from virtsupd.core.snapshot import ServiceSnapshot

Parts = Sequence[bytes]
"""A text in pieces, which other texts may share."""

_RENDERED_IN_A_TURN = 16


def dumps(value: object) -> bytes:
    """Return the JSON text of a value, as short as it can be."""
    return json.dumps(value, separators=(",", ":")).encode()


class Rendered:
    """The texts of services, kept until the service changes."""

    def __init__(self, render: Callable[[ServiceSnapshot], bytes], separator: bytes) -> None:
        """Begin with nothing rendered; `separator` goes between services in a list."""
        self._render = render
        self._separator = separator
        self._known: dict[str, tuple[ServiceSnapshot, bytes]] = {}
        self._texts: list[bytes] = []
        self._joined = b""

    def one(self, snapshot: ServiceSnapshot) -> bytes:
        """Return the text of a service."""
        return self._current(snapshot) or self._render_now(snapshot)

    async def all(
        self, snapshots: Sequence[ServiceSnapshot], turn: Callable[[], Awaitable[None]]
    ) -> bytes:
        """Return the texts of many services in one; equal services give the same object again."""
        texts: list[bytes] = []
        rendered = 0
        for snapshot in snapshots:
            text = self._current(snapshot)
            if text is None:
                text = self._render_now(snapshot)
                rendered += 1
                if rendered % _RENDERED_IN_A_TURN == 0:
                    await turn()
            texts.append(text)
        if texts != self._texts:
            self._texts, self._joined = texts, self._separator.join(texts)
        self._forget_missing(snapshots)
        return self._joined

    def forget(self) -> None:
        """Forget all texts: what they depend on beside the service has changed."""
        self._known.clear()

    def _current(self, snapshot: ServiceSnapshot) -> bytes | None:
        known = self._known.get(snapshot.spec.name)
        if known is not None and (known[0] is snapshot or known[0] == snapshot):
            return known[1]
        return None

    def _render_now(self, snapshot: ServiceSnapshot) -> bytes:
        text = self._render(snapshot)
        self._known[snapshot.spec.name] = (snapshot, text)
        return text

    def _forget_missing(self, snapshots: Sequence[ServiceSnapshot]) -> None:
        if len(self._known) > 2 * len(snapshots) + _RENDERED_IN_A_TURN:
            names = {snapshot.spec.name for snapshot in snapshots}
            self._known = {name: text for name, text in self._known.items() if name in names}


class VarlinkRecords:
    """Services as JSON."""

    def __init__(self) -> None:
        """Begin with nothing rendered."""
        self._services = Rendered(lambda snapshot: dumps(service_record(snapshot)), b",")

    def event(self, change: Change, now: float) -> Parts:
        """Return the text of type Event; `now` is when the change was taken from the subscription."""
        head = {"event": change.event, "at": event_time(change, now)}
        service = self._services.one(change.snapshot)
        return [dumps(head)[:-1], b',"service":', service, b"}"]

    def link(self, link: Link, log: Sequence[str]) -> bytes:
        """Return the text of type Link."""
        service = self._services.one(link.snapshot)
        return b'{"service":%b,%b' % (service, dumps(link_record(link, log))[1:])

    async def status(
        self,
        snapshots: Sequence[ServiceSnapshot],
        facts: DaemonFacts,
        others: Mapping[Name, int],
        turn: Callable[[], Awaitable[None]],
    ) -> Parts:
        """Return the text of what Status replies."""
        counts = dumps([{"name": name, "count": count} for name, count in others.items()])
        daemon = dumps(daemon_record(facts))
        services = await self._services.all(snapshots, turn)
        return [b'{"daemon":', daemon, b',"others":', counts, b',"services":[', services, b"]}"]


class HerdRecords:
    """Services as S-expressions."""

    def __init__(self) -> None:
        """Begin with nothing rendered."""
        self._names: frozenset[str] = frozenset()
        self._services = Rendered(self._render, b" ")
        place = Symbol("records")
        before, after = herd_replies.reply(((place,),)).split(place.name.encode())
        self._before, self._after = before, after

    async def status(
        self,
        snapshots: Sequence[ServiceSnapshot],
        facts: DaemonFacts,
        turn: Callable[[], Awaitable[None]],
    ) -> Parts:
        """Return the reply to a status of root: what `render_root_status` gives, in pieces."""
        names = frozenset(name for snapshot in snapshots for name in snapshot.spec.provides)
        if names != self._names:
            self._names = names
            self._services.forget()
        root = write(herd_records.root_record(facts)).encode()
        services = await self._services.all(snapshots, turn)
        return [self._before, root, b" " if services else b"", services, self._after]

    def _render(self, snapshot: ServiceSnapshot) -> bytes:
        return write(herd_records.service_record(snapshot, known=self._names)).encode()
