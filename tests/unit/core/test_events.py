"""Events are frozen facts; each about a process carries the generation it belongs to."""

from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import get_args

import pytest

from virtsupd.core import events
from virtsupd.core.events import Asked, Event, Instant, Verb
from virtsupd.core.names import Name

GLOBAL = {
    "Booted",
    "Reloaded",
    "Added",
    "Asked",
    "Hung",
    "OutputChanged",
    "GuestsFound",
    "GuestEnded",
    "Appeared",
    "Defined",
    "ClockSet",
}
KINDS = get_args(Event)


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_a_frozen_value(kind: type) -> None:
    assert is_dataclass(kind)
    assert "__slots__" in vars(kind)
    for field in fields(kind):
        with pytest.raises(FrozenInstanceError):
            setattr(object.__new__(kind), field.name, None)


@pytest.mark.parametrize("kind", [k for k in KINDS if k.__name__ not in GLOBAL])
def test_an_event_about_a_process_carries_its_generation(kind: type) -> None:
    assert [field.name for field in fields(kind)][:2] == ["name", "generation"]


def test_every_event_of_the_module_can_be_fed_to_the_engine() -> None:
    defined = {
        v for v in vars(events).values() if is_dataclass(v) and v.__module__ == events.__name__
    }
    assert defined == {*KINDS, Instant}


def test_an_event_cannot_be_changed() -> None:
    event = Asked(1, Verb.START, (Name("db"),), "root")
    with pytest.raises(FrozenInstanceError):
        event.ticket = 2  # type: ignore[misc]
    assert not event.guests, "guests do not end unless somebody says so"
