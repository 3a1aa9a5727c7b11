"""When a service that ended by itself is started again, and when no more."""

from virtsupd.core.frozen import frozen
from virtsupd.core.spec import Respawn


@frozen
class RespawnRecord:
    """The respawns of one service so far. Times are monotonic seconds, oldest first."""

    times: tuple[float, ...] = ()
    """Those that may still count against the limit."""
    streak: int = 0
    """How many in a row, without a run as long as the window between them."""
    unready: int = 0
    """How many in a row for starts that never became ready, however long each took."""


def next_respawn(
    policy: Respawn, record: RespawnRecord, *, now: float, ran_seconds: float | None
) -> tuple[float, RespawnRecord] | None:
    """Return the pause before the next start and the record with it, or None at the limit.

    `ran_seconds` is how long the service was up before it ended; None if it never became ready.
    The limit holds for respawns within the window, and for starts in a row that came to nothing:
    one that takes longer to fail than the window lasts would otherwise be tried for ever.
    """
    if ran_seconds is not None and ran_seconds >= policy.window_seconds:
        record = RespawnRecord()
    unready = record.unready + 1 if ran_seconds is None else 0
    if policy.limit and unready > policy.limit:
        return None
    recent = tuple(time for time in record.times if now - time < policy.window_seconds)
    if policy.limit and len(recent) >= policy.limit:
        return None
    delay = min(
        policy.delay_seconds * _power(policy.factor, record.streak), policy.max_delay_seconds
    )
    kept = (*recent, now)[-policy.limit :] if policy.limit else ()
    return delay, RespawnRecord(times=kept, streak=record.streak + 1, unready=unready)


def _power(factor: float, exponent: int) -> float:
    try:
        return factor**exponent
    except OverflowError:
        return float("inf")
