"""What `virtsupd --check` says about timers: when each fires next."""

import time
from collections.abc import Iterator

from virtsupd.config.load import Loaded
from virtsupd.core.spec import ServiceSpec, TimerSpec

_SHOWN = 3


def upcoming(loaded: Loaded, now: float) -> Iterator[str]:
    """Yield a line with the next three firings of each timer after `now` (Unix time)."""
    for spec, timer in _timers(loaded):
        firings = ", ".join(_moment(firing) for firing in _next_firings(timer, now))
        if firings:
            yield f"{spec.name} fires {firings}"


def lapsed(loaded: Loaded, now: float) -> Iterator[str]:
    """Yield a line for each timer whose last firing is over. It stays: it can be triggered."""
    for spec, timer in _timers(loaded):
        if not any(_next_firings(timer, now)):
            yield f"{spec.source}: {spec.name}: timer: all its times are past; it fires no more"


def _timers(loaded: Loaded) -> Iterator[tuple[ServiceSpec, TimerSpec]]:
    for spec in loaded.specs:
        if spec.timer is not None:
            yield spec, spec.timer


def _next_firings(timer: TimerSpec, after: float) -> Iterator[float]:
    from virtsupd.config.firings import next_firing  # noqa: PLC0415 - few hosts have timers

    for _ in range(_SHOWN):
        found = next_firing(timer, after)
        if found is None:
            return
        after = found
        yield found


def _moment(firing: float) -> str:
    return time.strftime("%a %Y-%m-%d %H:%M:%S %Z", time.localtime(firing))
