"""Each effect about guests reaches the one who can carry it out."""

import pytest

from virtsupd.core.domain import DomainSpec, GuestStop
from virtsupd.core.effects import AdoptDomain, EndDomain, EndGuest, FindGuests, StartDomain
from virtsupd.core.events import Event, Gone, GuestEnded, GuestsFound, NeverMade, SpawnFailed
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd
from virtsupd.core.spec import Readiness
from virtsupd.supervisor.domain_work import NoDomains
from virtsupd.supervisor.guest_effects import GuestEffect, touch_guests
from virtsupd.supervisor.guests import NoGuests

WEB, WEB1 = Name("web"), DomainSpec("web1")
NOBODY = "nothing here speaks with libvirt"
UNKNOWN = "nothing is known of its guests"


@pytest.mark.parametrize(
    ("effect", "answer"),
    [
        (FindGuests(WEB), GuestsFound(WEB, why=UNKNOWN)),
        (
            EndGuest(WEB, "vm", GuestEnd.SAVE),
            GuestEnded(WEB, "vm", GuestEnd.SAVE, UNKNOWN),
        ),
        (
            StartDomain(WEB, 1, WEB1, Readiness()),
            SpawnFailed(WEB, 1, "libvirt", NOBODY, is_permanent=True),
        ),
        (AdoptDomain(WEB, 1, WEB1, was_running=True), NeverMade(WEB, 1)),
        (EndDomain(WEB, 1, WEB1, GuestStop.ACPI), Gone(WEB, 1)),
    ],
    ids=lambda item: type(item).__name__,
)
def test_every_effect_is_answered(effect: GuestEffect, answer: Event) -> None:
    posted: list[Event] = []
    touch_guests(effect, NoGuests(), NoDomains(), posted.append)
    assert posted == [answer]
