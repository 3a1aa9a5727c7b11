"""What a reload of the configuration would do, or has done: the same words for both."""

from collections.abc import Iterator

from virtsupd.config.difference import ChangedKey
from virtsupd.core.forecast import Fate
from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name


@frozen
class Step:
    """What becomes of one service."""

    name: Name
    kind: str
    """As in the record of a service: guest, target …"""
    fate: Fate
    is_new: bool = False
    is_up: bool = False
    """It is up now, or was before."""
    is_told: bool = False
    """It is told to read its files again, also if its fate is another."""
    is_changed: bool = False
    """Its definition is another; `keys` says what of it can be said."""
    keys: tuple[ChangedKey, ...] = ()
    for_others: tuple[Name, ...] = ()
    """Of what is started, what needs or wants it; of what is stopped, what it is bound to."""
    command: tuple[str, ...] = ()
    """Words behind virtsupctl that put in force what is not yet; () if nothing is pending."""
    touches: tuple[Name, ...] = ()
    """Other services that this command would stop and start again."""
    guests: tuple[Name, ...] = ()
    """The guests that would end with it, which is refused without --guests."""
    harms: tuple[str, ...] = ()
    """What guests that run on would lose by it, which is refused without --force."""


@frozen
class Plan:
    """A reload of the configuration: what stops first, then what starts, each in order."""

    steps: tuple[Step, ...] = ()
    """All services, the unchanged ones too."""
    warnings: tuple[str, ...] = ()

    @property
    def added(self) -> tuple[Name, ...]:
        """Services that are new, and those that start for another reason."""
        return tuple(self._names(Fate.STARTED, Fate.ADDED))

    @property
    def removed(self) -> tuple[Name, ...]:
        """Services that end or are forgotten."""
        return tuple(self._names(Fate.STOPPED, Fate.FORGOTTEN))

    @property
    def pending(self) -> tuple[Name, ...]:
        """Services whose process is another from their next start on."""
        return tuple(self._names(Fate.PENDING))

    @property
    def reloaded(self) -> tuple[Name, ...]:
        """Services that are told to read their files again."""
        return tuple(self._names(Fate.RELOADED))

    @property
    def changed(self) -> tuple[Name, ...]:
        """Services that go on as they are, and whose definition is another."""
        found = (step for step in self.steps if step.is_changed)
        return tuple(step.name for step in found if step.fate is Fate.UNCHANGED)

    def _names(self, *fates: Fate) -> Iterator[Name]:
        return (step.name for step in self.steps if step.fate in fates)
