"""The port between the interpreter and guests that libvirt runs: what it has done with them."""

from collections.abc import Callable, Mapping
from typing import Protocol

from virtsupd.core.domain import DomainSpec
from virtsupd.core.effects import (
    AdoptDomain,
    AwaitReady,
    EndDomain,
    EndWatches,
    StartDomain,
    WatchHealth,
)
from virtsupd.core.events import Event, Gone, NeverMade, SpawnFailed
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name

Post = Callable[[Event], None]


def domains_of(graph: ServiceGraph) -> Mapping[DomainSpec, Name]:
    """Return the domains that services stand for, by the definitions in force."""
    specs = graph.spec_by_name.items()
    return {spec.domain: name for name, spec in specs if spec.domain is not None}


_NOTHING = "nothing here speaks with libvirt"


class DomainWork(Protocol):
    """Starts, watches and ends guests through libvirt. Nothing here waits: what comes of it is posted."""

    def start(self, effect: StartDomain, post: Post) -> None:
        """Have a guest run: Spawned or SpawnFailed, BecameReady once it is, Exited once it has ended."""
        ...

    def adopt(self, effect: AdoptDomain, post: Post) -> None:
        """Look whether a guest still runs: Adopted; or Exited, or NeverMade, if it does not."""
        ...

    def end(self, effect: EndDomain, post: Post) -> None:
        """End a guest, in a harder way than before if it is asked again.

        Reached once libvirt can be asked; Exited if it ran, and Gone.
        """
        ...

    def has(self, name: Name) -> bool:
        """Whether a service is a guest that was started or adopted, and is not gone."""
        ...

    def watch(self, effect: AwaitReady | WatchHealth | EndWatches, post: Post) -> None:
        """Do of a guest that there is what the machine does of processes."""
        ...

    def forget(self, name: Name) -> None:
        """Have nothing more to do with a guest, if the service is one; it is left as it is."""
        ...


class NoDomains:
    """Of a host where nobody speaks with libvirt."""

    def start(self, effect: StartDomain, post: Post) -> None:
        """Post that it cannot be started."""
        post(SpawnFailed(effect.name, effect.generation, "libvirt", _NOTHING, is_permanent=True))

    def adopt(self, effect: AdoptDomain, post: Post) -> None:
        """Post that nothing was started."""
        post(NeverMade(effect.name, effect.generation))

    def end(self, effect: EndDomain, post: Post) -> None:
        """Post that it is gone."""
        post(Gone(effect.name, effect.generation))

    def has(self, name: Name) -> bool:
        """Return False."""
        return False

    def watch(self, effect: AwaitReady | WatchHealth | EndWatches, post: Post) -> None:
        """Refuse: there is nothing to watch."""
        raise AssertionError(effect, post)

    def forget(self, name: Name) -> None:
        """Do nothing."""
