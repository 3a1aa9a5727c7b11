"""Effects about guests, and who carries each out."""

from typing import assert_never

from virtsupd.core.effects import AdoptDomain, EndDomain, EndGuest, FindGuests, StartDomain
from virtsupd.supervisor.domain_work import DomainWork, Post
from virtsupd.supervisor.guests import GuestWork

GuestEffect = FindGuests | EndGuest | StartDomain | AdoptDomain | EndDomain


def touch_guests(effect: GuestEffect, guests: GuestWork, domains: DomainWork, post: Post) -> None:
    """Begin to do something about a guest: one that is a service, or one that is none."""
    match effect:
        case FindGuests():
            guests.find(effect, post)
        case EndGuest():
            guests.end(effect, post)
        case StartDomain():
            domains.start(effect, post)
        case AdoptDomain():
            domains.adopt(effect, post)
        case EndDomain():
            domains.end(effect, post)
        case _:
            assert_never(effect)
