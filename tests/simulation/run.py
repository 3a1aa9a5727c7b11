"""Simulates for a while, prints what it went through, and shrinks and prints what fails."""

import argparse
import gc
import secrets
import sys
import time
from dataclasses import fields

from tests.simulation import actions
from tests.simulation.actions import Action
from tests.simulation.shrink import failure, shrink
from tests.simulation.simulation import Case, Simulation, Tally, draw
from tests.simulation.virtsupd import strict_log

from virtsupd.core.events import Verb

_SEEDS_BETWEEN_COLLECTIONS = 200


def in_words(case: Case) -> str:
    """Return a case as Python that makes it again: for --replay, and for a regression test."""
    lines = "".join(f"        {_call(action)},\n" for action in case.actions)
    return f"Case({case.seed}, {case.graph}, {case.step}, (\n{lines}))"


def _call(action: Action) -> str:
    parts = []
    for field in fields(action):
        value = getattr(action, field.name)
        parts.append(f"Verb.{value.name}" if isinstance(value, Verb) else repr(value))
    return f"{type(action).__name__}({', '.join(parts)})"


def read(text: str) -> Case:
    """Return the case that `in_words` shows; a plain number is a seed."""
    if text.strip().isdigit():
        return draw(int(text))
    known = {name: getattr(actions, name) for name in vars(actions) if name[0].isupper()}
    found = eval(text, {"__builtins__": {}, "Case": Case, **known})
    if not isinstance(found, Case):
        raise TypeError(f"not a case: {found!r}")
    return found


def simulate(seconds: float, base: int) -> tuple[Tally, Case | None]:
    """Run seed after seed for so long; return what was gone through, and the first that failed."""
    tally, end, seed = Tally(), time.monotonic() + seconds, base
    gc.disable()
    while time.monotonic() < end:
        case = draw(seed)
        try:
            Simulation(case, tally).run()
        except Exception:  # noqa: BLE001 - whatever it is, it is what was looked for
            return tally, case
        seed += 1
        if seed % _SEEDS_BETWEEN_COLLECTIONS == 0:
            gc.collect()
    return tally, None


def told(tally: Tally, seconds: float) -> str:
    """Return what was gone through, in one line."""
    rate = tally.events / max(seconds, 1e-9)
    return (
        f"{tally.seeds} schedules, {tally.events} events ({rate:.0f} a second), "
        f"{tally.spawns} starts, {tally.commands} commands, {tally.crashes} crashes of virtsupd, "
        f"{tally.adoptions} adoptions"
    )


def report(case: Case) -> str:
    """Shrink what fails, and say how and with what."""
    small = shrink(case)
    return f"seed {case.seed} fails: {failure(small)}\n{in_words(small)}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long (default: 2)")
    parser.add_argument("--seed", type=int, help="the first seed (default: a new one)")
    parser.add_argument("--replay", metavar="FILE", help="a seed, or a case as it was printed")
    return parser.parse_args()


def main() -> int:
    """Simulate as the command line says; 1 if a promise was broken."""
    options = _options()
    with strict_log(is_for_good=True):
        if options.replay is not None:
            return _replay(options.replay)
        base = options.seed if options.seed is not None else secrets.randbelow(10**9)
        _say(f"simulate: {options.minutes:g} minutes from seed {base}")
        begin = time.monotonic()
        tally, failed = simulate(options.minutes * 60.0, base)
        _say(f"simulate: {told(tally, time.monotonic() - begin)}")
        if failed is not None:
            _say(report(failed))
        return int(failed is not None)


def _replay(place: str) -> int:
    if place.isdigit():
        text = place
    else:
        with open(place, encoding="utf-8") as file:  # noqa: PTH123 - one line
            text = file.read()
    error = failure(read(text))
    _say(f"simulate: {error if error is not None else 'nothing is broken'}")
    return int(error is not None)


if __name__ == "__main__":
    sys.exit(main())
