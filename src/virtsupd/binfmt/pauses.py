"""Giving way to whoever keeps removing an entry: longer each time, so that two do not fight for ever."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_MOST: Final = 5
"""Put back so often within the window, an entry is left alone for a while."""
_WINDOW_SECONDS: Final = 60.0
_FIRST_SECONDS, _LONGEST_SECONDS = 10.0, 300.0
_FORGOTTEN_SECONDS: Final = 600.0
"""After so long without being removed, an entry is like any other."""


@dataclass(slots=True)
class _Trouble:
    moments: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST))
    pause: float = 0.0
    until: float = 0.0


class Pauses:
    """Which platforms are left alone, and until when. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        """Leave nobody alone yet."""
        self._by_name: dict[str, _Trouble] = {}

    def note(self, name: str, now: float) -> float:
        """Note that a platform was put back; return for how many seconds it is left alone now."""
        trouble = self._by_name.setdefault(name, _Trouble())
        if trouble.moments and now - trouble.moments[-1] > _FORGOTTEN_SECONDS:
            trouble = self._by_name[name] = _Trouble()
        trouble.moments.append(now)
        is_often = len(trouble.moments) == _MOST and now - trouble.moments[0] <= _WINDOW_SECONDS
        if is_often or trouble.pause:
            trouble.pause = min(trouble.pause * 2 or _FIRST_SECONDS, _LONGEST_SECONDS)
            trouble.until = now + trouble.pause
        return max(trouble.until - now, 0.0)

    def paused(self, now: float) -> Mapping[str, float]:
        """Return who is left alone now, and until when."""
        return {name: t.until for name, t in self._by_name.items() if t.until > now}
