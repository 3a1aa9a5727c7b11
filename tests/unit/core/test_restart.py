"""When a service is started again, how long that waits, and when it ends."""

import pytest

from virtsupd.core.restart import RespawnRecord, next_respawn
from virtsupd.core.spec import Respawn


def pauses(policy: Respawn, times: list[float], *, ran: float = 0.0) -> list[float | None]:
    """Return the pause after each end; None where the limit is reached."""
    record, found = RespawnRecord(), []
    for now in times:
        answer = next_respawn(policy, record, now=now, ran_seconds=ran)
        found.append(answer[0] if answer is not None else None)
        if answer is not None:
            record = answer[1]
    return found


def test_pauses_grow_by_the_factor_up_to_the_cap() -> None:
    policy = Respawn(delay_seconds=1, factor=2, max_delay_seconds=6, limit=0)
    assert pauses(policy, [0, 1, 2, 3, 4]) == [1, 2, 4, 6, 6]


def test_a_factor_of_one_keeps_the_pause() -> None:
    assert pauses(Respawn(delay_seconds=2, factor=1, limit=0), [0, 1, 2]) == [2, 2, 2]


def test_one_more_than_the_limit_within_the_window_is_none() -> None:
    policy = Respawn(delay_seconds=0, limit=3, window_seconds=30)
    assert pauses(policy, [0, 1, 2, 3]) == [0, 0, 0, None]


def test_what_is_older_than_the_window_does_not_count() -> None:
    policy = Respawn(delay_seconds=0, limit=2, window_seconds=30)
    assert pauses(policy, [0, 20, 30, 40, 51]) == [0, 0, 0, None, 0]


def test_a_limit_of_zero_is_none() -> None:
    policy = Respawn(delay_seconds=0, limit=0)
    assert None not in pauses(policy, [0.0] * 1000)


@pytest.mark.parametrize(("ran", "pause"), [(29.9, 2), (30, 1), (1e9, 1)])
def test_a_run_as_long_as_the_window_empties_the_record(ran: float, pause: float) -> None:
    policy = Respawn(delay_seconds=1, factor=2, limit=1, window_seconds=30)
    record = RespawnRecord(times=(), streak=1)
    answer = next_respawn(policy, record, now=100, ran_seconds=ran)
    assert answer is not None
    assert answer[0] == pause


def test_ten_thousand_crashes_in_a_row_still_wait_for_the_cap() -> None:
    policy = Respawn(delay_seconds=1, factor=10.0, max_delay_seconds=30, limit=0)
    answer = next_respawn(policy, RespawnRecord(streak=10_000), now=0, ran_seconds=0)
    assert answer is not None
    assert answer[0] == 30


def test_the_record_stays_as_short_as_the_limit() -> None:
    policy = Respawn(delay_seconds=0, limit=3, window_seconds=10)
    record = RespawnRecord()
    for now in range(0, 1000, 5):
        answer = next_respawn(policy, record, now=now, ran_seconds=0)
        assert answer is not None
        record = answer[1]
        assert len(record.times) <= 3


def test_starts_that_never_became_ready_are_limited_however_long_each_takes() -> None:
    policy = Respawn(delay_seconds=0, limit=2, window_seconds=30)
    record, now = RespawnRecord(), 0.0
    for _ in range(2):
        now += 100.0
        found = next_respawn(policy, record, now=now, ran_seconds=None)
        assert found is not None
        record = found[1]
    assert next_respawn(policy, record, now=now + 100.0, ran_seconds=None) is None
    assert next_respawn(policy, record, now=now + 100.0, ran_seconds=1.0) is not None


def test_without_a_limit_a_start_that_never_becomes_ready_is_tried_on() -> None:
    policy = Respawn(delay_seconds=0, limit=0)
    record = RespawnRecord(unready=1000)
    assert next_respawn(policy, record, now=0.0, ran_seconds=None) is not None
