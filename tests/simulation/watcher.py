"""Who is told what a virtsupd of the simulation does, as it does it."""

from typing import Protocol

from virtsupd.core.events import Asked
from virtsupd.core.names import Name
from virtsupd.core.spec import StopMode


class Watcher(Protocol):
    """May raise; nothing that it is told of has happened yet, except what was decided."""

    def spawning(self, name: Name) -> None: ...

    def ending(self, name: Name, mode: StopMode) -> None: ...

    def stopped(self, name: Name) -> None: ...

    def forgotten(self, name: Name) -> None: ...

    def asked(self, asked: Asked) -> None: ...

    def noticing(self, name: Name, *, wanted: bool) -> None: ...

    def reloading(self) -> None: ...
