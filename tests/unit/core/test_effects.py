"""Effects are frozen data, each about a process carries its generation, and all are carried out."""

from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import get_args

import pytest

from virtsupd.core import effects
from virtsupd.core.effects import Answer, Effect, Report, Result
from virtsupd.core.names import Name

WITHOUT_GENERATION = {
    "Keep",
    "CancelTimer",
    "Remember",
    "RememberShutdown",
    "FindGuests",
    "EndGuest",
    "RememberFirings",
    "Release",
    "Forget",
    "Announce",
    "Answer",
    "Finish",
}
KINDS = get_args(Effect)


@pytest.mark.parametrize("kind", KINDS)
def test_an_effect_is_a_frozen_value(kind: type) -> None:
    assert is_dataclass(kind)
    assert "__slots__" in vars(kind)
    for field in fields(kind):
        with pytest.raises(FrozenInstanceError):
            setattr(object.__new__(kind), field.name, None)


@pytest.mark.parametrize("kind", [k for k in KINDS if k.__name__ not in WITHOUT_GENERATION])
def test_an_effect_about_a_process_carries_its_generation(kind: type) -> None:
    assert [field.name for field in fields(kind)][:2] == ["name", "generation"]


def test_every_effect_of_the_module_is_one() -> None:
    own = (v for v in vars(effects).values() if getattr(v, "__module__", "") == effects.__name__)
    assert {v for v in own if is_dataclass(v)} == {*KINDS, Report}


@pytest.mark.parametrize("result", Result)
def test_only_what_was_asked_for_is_good(result: Result) -> None:
    assert result.is_good == (str(result) in {"done", "already", "not-needed"})


def test_an_answer_touches_nothing_unless_it_says_so() -> None:
    assert Answer(1, (Report(Name("db"), Result.DONE, "db is running"),)).touched == ()
