"""Who keeps removing an entry is given way to."""

from virtsupd.binfmt.pauses import Pauses


def noted(*moments: float) -> Pauses:
    pauses = Pauses()
    for moment in moments:
        pauses.note("arm", moment)
    return pauses


def test_what_is_removed_now_and_then_is_put_back_at_once() -> None:
    assert noted(0, 20, 40, 61).paused(61) == {}
    assert noted(*range(0, 200, 20)).paused(181) == {}


def test_the_fifth_time_within_a_minute_is_followed_by_a_pause() -> None:
    pauses = noted(0, 1, 2, 3, 4)
    assert pauses.paused(4) == {"arm": 14}
    assert pauses.paused(14) == {}


def test_each_further_pause_is_longer_up_to_five_minutes() -> None:
    pauses, now, lengths = noted(0, 1, 2, 3, 4), 14.0, []
    for _ in range(7):
        lengths.append(pauses.note("arm", now))
        now = pauses.paused(now)["arm"]
    assert lengths == [20, 40, 80, 160, 300, 300, 300]


def test_after_a_quiet_time_all_is_forgotten() -> None:
    pauses = noted(0, 1, 2, 3, 4)
    assert pauses.note("arm", 700) == 0
    assert pauses.paused(700) == {}


def test_others_are_put_back_meanwhile() -> None:
    pauses = noted(0, 1, 2, 3, 4)
    pauses.note("sh4", 5)
    assert pauses.paused(5) == {"arm": 14}
