"""What virtsupd's own log says about clients, and about defects that they brought to light."""

from collections import Counter

import structlog

from virtsupd.errors import VirtsupdError
from virtsupd.process.clock import Clock

_SILENCE_SECONDS = 10.0


class DefectError(VirtsupdError):
    """A request failed for a reason nobody foresaw; the peer is told no more than that."""

    code = "internal"

    def __init__(self, what: str, error: Exception) -> None:
        """Take what was asked for and what was raised."""
        super().__init__(
            f"cannot carry out {what}: a defect of virtsupd ({type(error).__name__}); "
            "its log says where"
        )


class Complaints:
    """Log lines about clients, so few that no client can fill the log."""

    def __init__(self, clock: Clock) -> None:
        """Begin with nothing said."""
        self._clock = clock
        self._log = structlog.get_logger()
        self._next: dict[str, float] = {}
        self._unsaid: Counter[str] = Counter()

    def warn(self, event: str, **facts: str | int) -> None:
        """Say it, unless the same was said within ten seconds; then count it."""
        if self._may_say(event):
            self._log.warning(event, **facts, unsaid=self._unsaid.pop(event, 0))

    def defect(self, event: str, error: Exception, **facts: str | int) -> None:
        """Say where an error of our own comes from, each kind as seldom as `warn`."""
        kind = f"{event}: {type(error).__name__}"
        if self._may_say(kind):
            self._log.error(event, **facts, unsaid=self._unsaid.pop(kind, 0), exc_info=error)

    def _may_say(self, kind: str) -> bool:
        now = self._clock.now().monotonic
        if now < self._next.get(kind, now):
            self._unsaid[kind] += 1
            return False
        self._next[kind] = now + _SILENCE_SECONDS
        return True
