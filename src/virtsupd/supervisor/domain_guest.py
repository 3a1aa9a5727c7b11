"""One start (or adoption) of a guest of libvirt's, and what is told of it."""

from dataclasses import dataclass, field

import anyio

from virtsupd.core.domain import DomainSpec, GuestNote
from virtsupd.core.events import Reached, SpawnFailed, Told
from virtsupd.core.names import Name
from virtsupd.core.spec import Readiness
from virtsupd.process.domains import DomainNews
from virtsupd.supervisor.domain_work import Post


@dataclass(eq=False, slots=True)
class Guest:
    """What is known of one, and what is under way with it. `Domains` alone writes it."""

    name: Name
    generation: int
    domain: DomainSpec
    post: Post
    ready: Readiness = field(default_factory=Readiness)
    """When it counts as started, once it is up."""
    is_asked: bool = False
    """Libvirt was asked to start it."""
    is_up: bool = False
    """Libvirt has said that it runs, and not yet that it does no more."""
    pid: int | None = None
    """Of its QEMU, once that is known."""
    has_ended: bool = False
    """Its end was posted; it is gone as soon as somebody asks for that."""
    is_in_transit: bool = False
    """It was last seen between two hosts: where it ends, it may go on on the other."""
    heard: anyio.Event = field(default_factory=anyio.Event)
    """Set when something is told of its domain; then a new one takes its place."""
    is_ending: bool = False
    begun: anyio.Event = field(default_factory=anyio.Event)
    """Set when nothing of its start or adoption is under way any more."""
    waiting: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Of what waits before libvirt was asked to start it."""
    watches: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ending: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    said: tuple[GuestNote | None, str] | None = (None, "")
    """What its status is known to say; None: whatever an earlier virtsupd was told."""

    @property
    def is_judged(self) -> bool:
        """Whether libvirt is seen, and says that it runs: a probe would find nothing of one that is paused."""
        return self.is_up and self.said == (None, "")

    @property
    def is_arriving(self) -> bool:
        """Whether it is on its way here, and was never seen to run here."""
        return self.is_in_transit and not self.is_up

    def is_another(self, news: DomainNews) -> bool:
        """Whether what is told is of another QEMU: it has ended, and somebody has started its domain again."""
        return self.pid is not None and news.pid is not None and news.pid != self.pid

    def note_word(self) -> None:
        """Wake who waits until something is told of its domain."""
        self.heard.set()
        self.heard = anyio.Event()

    def tell_arriving(self) -> None:
        """Say that it is not started, since it comes from elsewhere."""
        self.tell_note(GuestNote.ARRIVING)
        self.tell_waiting(f"{GuestNote.ARRIVING}, and is not started twice")

    def tell_never_arrived(self, why: str) -> None:
        """Say that it did not come, and may run where it was to come from."""
        self.tell_note(None)
        failed = SpawnFailed(self.name, self.generation, "libvirt", why, False, is_elsewhere=True)
        self.post(failed)

    def tell_waiting(self, text: str) -> None:
        """Say what its start waits for."""
        self.post(Told(self.name, self.generation, "waiting", text))

    def tell_denied(self, text: str) -> None:
        """Say why it does not end."""
        self.post(Told(self.name, self.generation, "denied", text))

    def tell_reached(self, is_reached: bool) -> None:
        """Say that libvirt can be asked to end it, or cannot after all."""
        self.post(Reached(self.name, self.generation, is_reached))

    def tell_note(self, note: GuestNote | None) -> None:
        """Say what is remarkable about it, if that is news; None: nothing is."""
        self._tell_status(note, "" if note is None else str(note))

    def tell_unseen(self, why: str) -> None:
        """Say that it is not known how it is."""
        self._tell_status(GuestNote.UNSEEN, f"{GuestNote.UNSEEN}: {why}")

    def _tell_status(self, note: GuestNote | None, text: str) -> None:
        if (note, text) != self.said:
            self.said = note, text
            self.post(Told(self.name, self.generation, "status", text, note))
