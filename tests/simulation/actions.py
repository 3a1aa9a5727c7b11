"""What may happen, as data: a schedule is a list of these, drawn from a seed, printed and shrunk.

None of them names what may not be there: a `pick` counts through what there is at that time. So a
schedule stays one when some of its actions are dropped.
"""

from dataclasses import dataclass
from random import Random

from virtsupd.core.events import Verb


@dataclass(frozen=True, slots=True)
class Ask:
    """An operator gives a command about some services."""

    verb: Verb
    picks: tuple[int, ...]
    guests: bool = False


@dataclass(frozen=True, slots=True)
class HangUp:
    """A client goes away before its answer."""

    pick: int


@dataclass(frozen=True, slots=True)
class Pass:
    """Time passes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Settle:
    """Time passes until nothing happens any more, and all is looked at."""


@dataclass(frozen=True, slots=True)
class Die:
    """A process ends by itself: a leader, or any that there is."""

    pick: int
    code: int = 1
    is_any: bool = False


@dataclass(frozen=True, slots=True)
class Behave:
    """The processes of a service that are made from now on do something else."""

    pick: int
    behaviour: int


@dataclass(frozen=True, slots=True)
class Cling:
    """A process cannot be killed, until it can."""

    pick: int
    is_stuck: bool = True


@dataclass(frozen=True, slots=True)
class Probe:
    """A service is found unhealthy, healthy again, or never to become ready."""

    pick: int
    finds: str


@dataclass(frozen=True, slots=True)
class Reload:
    """Another configuration."""

    graph: int


@dataclass(frozen=True, slots=True)
class Crash:
    """virtsupd is killed: at the so-manyth step from now, or at once (no steps).

    The next one starts `away` seconds later, perhaps with another configuration; further `steps` are
    counted from its start.
    """

    steps: tuple[int, ...] = ()
    away: float = 0.0
    graph: int | None = None


@dataclass(frozen=True, slots=True)
class Quit:
    """virtsupd leaves everything running, in good order; the next one starts later."""

    away: float = 0.0
    graph: int | None = None


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Everything is stopped, perhaps with crashes on the way; then virtsupd starts again."""

    steps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reboot:
    """The machine is reset: processes and the run directory are gone, pids begin anew."""


Action = (
    Ask
    | HangUp
    | Pass
    | Settle
    | Die
    | Behave
    | Cling
    | Probe
    | Reload
    | Crash
    | Quit
    | Shutdown
    | Reboot
)

_OFTEN = (Verb.START,) * 3 + (Verb.STOP,) * 3 + (Verb.RESTART,) * 3
_VERBS = (*_OFTEN, Verb.ENABLE, Verb.DISABLE, Verb.RELOAD, Verb.WAIT)
_AWAY = (0.0, 0.0, 0.01, 0.2, 1.5, 8.0, 40.0)
_PAUSES = (0.0, 0.002, 0.01, 0.05, 0.4, 1.0, 6.0)
_GRAPHS = 1_000_000


def schedule(random: Random, length: int) -> list[Action]:
    """Draw what happens; it ends settled."""
    drawn: list[Action] = []
    while len(drawn) < length:
        drawn.append(_draw(random))
        if random.random() < 0.4:
            drawn.append(Pass(random.choice(_PAUSES)))
    return [*drawn, Settle()]


def _draw(random: Random) -> Action:
    pick, roll = random.randrange(1000), random.random()
    if roll < 0.36:
        picks = tuple(random.randrange(1000) for _ in range(random.choice((1, 1, 1, 2, 3))))
        return Ask(random.choice(_VERBS), picks, random.random() < 0.3)
    if roll < 0.54:
        return Die(pick, random.choice((0, 1, 1, 77)), random.random() < 0.3)
    if roll < 0.66:
        return Behave(pick, random.randrange(_GRAPHS))
    if roll < 0.80:
        return _draw_crash(random)
    if roll < 0.92:
        return _draw_rare(random, pick)
    return Settle()


def _draw_crash(random: Random) -> Action:
    graph = random.randrange(_GRAPHS) if random.random() < 0.15 else None
    away = random.choice(_AWAY)
    if random.random() < 0.1:
        return Quit(away, graph)
    return Crash(_draw_steps(random), away, graph)


def _draw_steps(random: Random) -> tuple[int, ...]:
    return tuple(int(random.random() ** 2 * 60) + 1 for _ in range(random.choice((0, 1, 1, 2, 3))))


def _draw_rare(random: Random, pick: int) -> Action:
    match random.randrange(12):
        case 0:
            return HangUp(pick)
        case 1 | 2:
            return Cling(pick, random.random() < 0.4)
        case 3 | 4 | 5:
            return Probe(pick, random.choice(("unhealthy", "healthy", "never ready")))
        case 6 | 7 | 8:
            return Reload(random.randrange(_GRAPHS))
        case 9 | 10:
            return Shutdown(_draw_steps(random) if random.random() < 0.5 else ())
        case _:
            return Reboot()
