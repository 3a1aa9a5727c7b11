"""The seam between the loader and the kinds of services: a registry the composition root passes in.

`config` knows no kind. A kind names the table that turns its services on, the model of that table,
and a function that says what the table changes in the built-in units and which files it becomes.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol

from pydantic import BaseModel

from virtsupd.config.problems import Fault
from virtsupd.config.settings import GeneratedDirectory, GeneratedFile, HostSettings
from virtsupd.core.domain import DomainSpec
from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd, RunningGuest

UnitKeys = Mapping[str, object]
"""The keys of a `[service.*]` table, as TOML holds them."""


@frozen
class KindContext:
    """What a kind may look at beside its own table."""

    host: HostSettings
    units: Mapping[str, UnitKeys]
    """The kind's built-in units by name, before any change."""
    tables: frozenset[str] = frozenset()
    """All tables of the host file and its drop-ins."""


@frozen
class Element:
    """One table of an array."""

    table: Any
    """A checked instance of the kind's model."""
    keys: UnitKeys
    """The same as TOML holds it."""


class RunCommand(Protocol):
    """Runs a command as virtsupd's own user, with the variables of the guest host's definition."""

    async def __call__(self, command: Sequence[str], timeout_seconds: float) -> str:
        """Return what it printed, once it has ended well; when cancelled, it is killed.

        Raises:
            GuestError: it did not end well, or not in time.
            SpawnError: it could not be started.
        """
        ...


class GuestHost(Protocol):
    """What a kind knows of guests that are no services but run through one of its services.

    Asked in a shutdown alone, whether that service runs or not, each call in a task of its own and
    at most one `running` at a time. It must not wait for a guest longer than it has to: deadlines
    are virtsupd's, which cancels a call whose time is over. Whatever it raises costs its own guests.
    """

    async def running(
        self, run: RunCommand, services: Collection[DomainSpec]
    ) -> Sequence[RunningGuest]:
        """Return the guests that run now, but for those that are `services`: these end as such.

        Raises:
            GuestError: that cannot be known now; it is asked again while its service is up.
        """
        ...

    async def end(self, guest: str, end: GuestEnd, run: RunCommand) -> None:
        """End a guest in one of the ways and return when it has ended; one that has is no error.

        When cancelled, what was asked of the guest stands: the next call is a harder way.

        Raises:
            GuestError: it does not end in this way.
        """
        ...


class StopGuard(Protocol):
    """What a kind knows of harm to guests that lies in the end of a service, though no guest ends by it.

    Asked before a command or a reload of the configuration ends the service; in a thread of its own,
    since it may look at all processes of the host. What it raises counts as harm.
    """

    def stop_harm(self, pid: int) -> str | None:
        """Return what would be lost, and for whom, if this leader of the service ended now; None: nothing.

        A clause that follows "cannot stop NAME: " and names a way without the loss.
        """
        ...

    def stop_loss(self, pid: int) -> str | None:
        """Return the same in a few words that follow "lost: ", for whoever insisted; None: nothing."""
        ...

    def harm_done(self) -> str | None:
        """Return what guests have lost by an end of the service that nobody could refuse; None: nothing."""
        ...


@frozen
class Remark:
    """What a kind knows of one of its services now, beside what the engine does."""

    says: str = ""
    """How it is, while it runs; why it does not, while it does not: "not the master; node1 is"."""
    warnings: tuple[str, ...] = ()
    """What is amiss with it, whether it runs or not."""


def _nothing_remarkable() -> Mapping[Name, Remark]:
    return {}


def _no_faults() -> Iterable[Fault]:
    return ()


def _no_remarks(_: Mapping[str, str]) -> Iterable[Fault]:
    return ()


@frozen
class Made:
    """A service that an element of an array makes."""

    element: int
    """Its position among those the kind was given."""
    name: str
    keys: UnitKeys

    @property
    def provides(self) -> list[str]:
        """Return all names that it has."""
        found = self.keys.get("provides")
        return list(map(str, found)) if isinstance(found, list) else [self.name]


@frozen
class Built:
    """What a table becomes; for an array all faults begin with the position of an element."""

    changes: Mapping[str, UnitKeys]
    """By name of the unit, or of a built-in target or condition: keys set over the built-in ones."""
    services: tuple[Made, ...] = ()
    """Of an array alone: what it makes, each with another name."""
    offered: tuple[Made, ...] = ()
    """Likewise, of what is there only if something else needs or wants it."""
    files: tuple[GeneratedFile, ...] = ()
    directories: tuple[GeneratedDirectory, ...] = ()
    problems: tuple[Fault, ...] = ()
    """What is wrong between keys of the table; nothing else is looked at if there is any."""
    warnings: tuple[Fault, ...] = ()
    """What works, but not as the table may make believe."""
    host_faults: Callable[[], Iterable[Fault]] = _no_faults
    """What makes the table's programs refuse this host as it is now (a group that is missing, an
    address of another host). Asked when somebody checks the file, never at a start: the host may
    change, and one bad service must not keep the others down. May ask the DNS."""
    own_host_faults: Mapping[str, Callable[[], Iterable[Fault]]] = field(default_factory=dict)
    """Likewise what makes just one service of the table fail, by its name."""
    host_remarks: Callable[[Mapping[str, str]], Iterable[Fault]] = _no_remarks
    """What of this host is worth knowing to who checks the file, and refuses nothing. Given the
    `addresses` of all tables; asked when `host_faults` is."""
    remarks: Callable[[], Mapping[Name, Remark]] = _nothing_remarkable
    """By name of the service. Asked whenever somebody looks at any service, on the event loop: it may
    read a few small files, waits for nothing and raises nothing."""
    guest_hosts: Mapping[Name, GuestHost] = field(default_factory=dict)
    """By name of the service that they run through, which stays up in a shutdown until they are gone."""
    accounts: frozenset[str] = frozenset()
    """Users and groups that one of its services makes before another needs them."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """By the URI that guests name: where that libvirt is, if not where its library looks. It stays
    there as long as the service of `guest_hosts` lives."""


@frozen
class KindParts:
    """What is needed of a kind once its table is there."""

    model: type[BaseModel]
    build: Callable[[Any, KindContext], Built]
    """Called with a checked instance of `model`; of an array with a list of `Element`."""
    identity: tuple[str, ...] = ()
    """Of an array: the keys that tell one element from another, the first being what it is known by."""
    names: Callable[[UnitKeys], Iterable[str]] | None = None
    """Of an array: what the services of an element are called as far as its keys tell, which may be
    wrong. None: as its name says, or the first key of its identity."""
    stop_guard: StopGuard | None = None
    """Asked before a service of `guarded` ends, also once the table is gone and the service is not."""
    guarded: frozenset[str] = frozenset()
    """Names of the services whose end the guard may have something against."""


@frozen
class Kind:
    """One table and the services it turns on."""

    units: tuple[str, ...]
    """Names of the built-in units that the table's presence turns on."""
    parts: Callable[[], KindParts]
    """Imports the kind's module: a host that does not have the table does not pay for it."""
    is_array: bool = False
    """It is an array of tables, each of which makes services of its own; `units` are then what they are
    made from, one of which may have the name of such a service."""
    may_be_one: bool = False
    """Of an array: a single table stands for an array of it alone."""

    @property
    def model(self) -> type[BaseModel]:
        """The model of the table."""
        return self.parts().model

    @property
    def build(self) -> Callable[[Any, KindContext], Built]:
        """What turns a checked instance of `model` into changes of the units."""
        return self.parts().build


Registry = Mapping[str, Kind]
"""Kinds by the name of their table."""
