"""Both languages of the control socket behind one door: the first byte tells which it is.

A module of its own because the server imports it when it begins to serve, and that is after the
first services were started: readers, writers and records of both languages are a tenth of what
virtsupd imports, and no service waits for them.
"""

from virtsupd.control.access import Grant
from virtsupd.control.backend import Backend
from virtsupd.control.connection import Connection
from virtsupd.control.herd_conversation import HerdConversation
from virtsupd.control.interface import supervisor_service
from virtsupd.control.rendered import HerdRecords
from virtsupd.control.varlink import Conversation, introspection
from virtsupd.errors import ProtocolError
from virtsupd.process.clock import Clock

_VARLINK = ord("{")
_HERD = frozenset(b"([;# \t\r\n\f\v")


class Languages:
    """What all conversations share."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        """Prepare to answer for `backend`, whose facts are asked once."""
        self._backend = backend
        own = supervisor_service(backend, clock)
        about = introspection([own.interface], backend.facts().version)
        self._services = {service.interface.name: service for service in (own, about)}
        self._herd_records = HerdRecords()

    async def converse(
        self, connection: Connection, grant: Grant, *, is_herd_only: bool = False
    ) -> None:
        """Speak with a peer in its language until either side ends it.

        Raises:
            ProtocolError: the peer speaks no language that is welcome, or speaks it wrongly.
            OSError: the peer is gone or does not read.
        """
        first = await connection.first_byte()
        if first in _HERD:
            await HerdConversation(connection, self._backend, self._herd_records, grant).run()
        elif first == _VARLINK and not is_herd_only:
            await Conversation(connection, self._services, grant).run()
        elif first is not None:
            raise ProtocolError("the first byte belongs to no language")
