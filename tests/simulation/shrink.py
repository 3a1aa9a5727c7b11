"""Making a failing schedule short: drop what it fails without, then make what is left plain."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from tests.simulation.actions import Action, Reload
from tests.simulation.simulation import Case, Simulation

_PLAIN: dict[str, tuple[object, ...]] = {
    "away": (0.0,),
    "graph": (None,),
    "guests": (False,),
    "steps": ((),),
    "seconds": (0.0,),
}


def failure(case: Case) -> Exception | None:
    """Run a case and return what it fails with."""
    try:
        Simulation(case).run()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
        return error
    return None


def kind(error: Exception) -> str:
    """Return what two failures for one reason have in common: their words, without names and numbers."""
    text = f"{type(error).__name__} {error} {error.__cause__ or error.__context__ or ''}"
    return " ".join(word for word in text[:150].split() if len(word) > 2 and word.isalpha())


def shrink(case: Case, fails: Callable[[Case], bool] | None = None) -> Case:
    """Return the smallest case found that fails as this one does."""
    if fails is None:
        first = failure(case)
        wanted = kind(first) if first is not None else ""

        def fails(tried: Case) -> bool:
            error = failure(tried)
            return error is not None and kind(error)[:40] == wanted[:40]

    while True:
        before = case
        size = max(1, len(case.actions) // 2)
        while size:
            case = _without_chunks(case, size, fails)
            size //= 2
        case = _plainer(case, fails)
        if case == before:
            return case


def _without_chunks(case: Case, size: int, fails: Callable[[Case], bool]) -> Case:
    begin = 0
    while begin < len(case.actions):
        rest = (*case.actions[:begin], *case.actions[begin + size :])
        tried = replace(case, actions=rest)
        if fails(tried):
            case = tried
        else:
            begin += size
    return case


def _plainer(case: Case, fails: Callable[[Case], bool]) -> Case:
    if case.step and fails(replace(case, step=0.0)):
        case = replace(case, step=0.0)
    for index in range(len(case.actions)):
        for plain in _plain(case.actions[index]):
            actions = (*case.actions[:index], plain, *case.actions[index + 1 :])
            if fails(replace(case, actions=actions)):
                case = replace(case, actions=actions)
    return case


def _plain(action: Action) -> Iterator[Action]:
    for field in fields(action) if not isinstance(action, Reload) else ():
        for value in _PLAIN.get(field.name, ()):
            if getattr(action, field.name) != value:
                changed: Any = {field.name: value}
                yield replace(action, **changed)
