"""The decorator of frozen, slotted dataclasses: what the standard library's makes, for less."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, is_dataclass, replace
from inspect import get_annotations, signature

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtsupd.core.frozen import frozen


@frozen
class Ours:
    """A class as virtsupd has them."""

    name: str
    count: int = 3
    tags: list[str] = field(default_factory=list)
    note: str = field(default="", compare=False)
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Theirs:
    """The same by the standard library."""

    name: str
    count: int = 3
    tags: list[str] = field(default_factory=list)
    note: str = field(default="", compare=False)
    secret: str = field(default="", repr=False)


@frozen
class Heir(Ours):
    """It has a field more."""

    more: tuple[int, ...] = ()


@frozen
class Empty:
    """It has no fields."""


@frozen
class Single:
    """Its only field, and a text of its own."""

    only: int

    def __repr__(self) -> str:
        return f"<{self.only}>"


VALUES = st.fixed_dictionaries(
    {"name": st.sampled_from("ab")},
    optional={
        "count": st.integers(2, 4),
        "tags": st.lists(st.sampled_from("xy"), max_size=2),
        "note": st.sampled_from("no"),
        "secret": st.sampled_from(["", "s"]),
    },
)


@given(VALUES, VALUES)
def test_it_is_what_the_standard_library_makes(
    one: dict[str, object], other: dict[str, object]
) -> None:
    ours, theirs = Ours(**one), Theirs(**one)  # type: ignore[arg-type]  # as VALUES has them
    second = Ours(**other)  # type: ignore[arg-type]  # likewise
    second_of_theirs = Theirs(**other)  # type: ignore[arg-type]  # likewise
    assert asdict(ours) == asdict(theirs)
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert (ours == second) == (theirs == second_of_theirs)
    assert (ours != second) == (theirs != second_of_theirs)
    assert ours != theirs  # type: ignore[comparison-overlap]  # what is tested
    assert asdict(replace(ours, **other)) == asdict(replace(theirs, **other))  # type: ignore[arg-type]  # likewise


def test_it_shows_the_same_to_who_looks_at_classes() -> None:
    assert [(one.name, one.type) for one in fields(Ours)] == [
        (one.name, one.type) for one in fields(Theirs)
    ]
    assert list(signature(Ours).parameters) == list(signature(Theirs).parameters)
    assert vars(Ours)["__match_args__"] == vars(Theirs)["__match_args__"]
    assert get_annotations(vars(Ours)["__init__"]) == get_annotations(vars(Theirs)["__init__"])
    assert not hasattr(Ours("a"), "__dict__")
    assert is_dataclass(Ours)


def test_what_is_missing_or_unknown_is_refused() -> None:
    with pytest.raises(TypeError, match="'name'"):
        Ours()  # type: ignore[call-arg]  # what is tested
    with pytest.raises(TypeError, match="'colour'"):
        Ours("a", colour="red")  # type: ignore[call-arg]  # what is tested


@pytest.mark.parametrize("name", ["name", "colour"])
def test_nothing_of_it_can_be_changed(name: str) -> None:
    for made in (Ours("a"), Heir("a"), Empty()):
        with pytest.raises(FrozenInstanceError, match=name):
            setattr(made, name, "b")
        with pytest.raises(FrozenInstanceError, match=name):
            delattr(made, name)
    assert Ours("a") == Ours("a")


def test_equal_ones_have_one_hash() -> None:
    assert len({Single(1), Single(1), Single(2)}) == 2
    assert len({Empty(), Empty()}) == 1
    assert Empty() != Single(1)  # type: ignore[comparison-overlap]  # what is tested
    assert hash(Heir("a", tags=())) == hash(Heir("a", tags=(), note="b"))  # type: ignore[arg-type]  # a list has none
    with pytest.raises(TypeError, match="unhashable"):
        hash(Ours("a"))


def test_an_heir_has_the_fields_of_its_base_first() -> None:
    heir = Heir("a", 1, ["x"], "note", "secret", (4,))
    assert (heir.name, heir.count, heir.more) == ("a", 1, (4,))
    assert heir != Ours("a", 1, ["x"], "note", "secret")


def test_each_instance_has_a_default_of_its_own() -> None:
    one, other = Ours("a"), Ours("a")
    one.tags.append("x")
    assert other.tags == []


def test_what_a_class_defines_itself_stays() -> None:
    assert repr(Single(1)) == "<1>"


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
)
def test_a_copy_is_equal(again: Callable[[Heir], Heir]) -> None:
    one = Heir("a", 1, ["x"], "note", "secret", (4,))
    assert asdict(again(one)) == asdict(one)
