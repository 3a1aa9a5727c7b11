"""A lane does so many things at a time and no more, and may be told to begin nothing of what waits."""

import threading

from tests.support.checks import eventually

from virtsupd.libvirtlink.lanes import Lane


class Works:
    """Things to do that take until they are let go."""

    def __init__(self, lane: Lane, *numbers: int) -> None:
        self.begun: list[int] = []
        self._go = threading.Event()
        for number in numbers:
            lane.put(number, lambda number=number: self._work(number))  # type: ignore[misc]

    def _work(self, number: int) -> None:
        self.begun.append(number)
        self._go.wait()

    def let_go(self) -> None:
        self._go.set()

    def await_begun(self, *numbers: int) -> None:
        eventually(lambda: sorted(self.begun) == sorted(numbers), f"{numbers}, not {self.begun}")


def test_no_more_is_begun_than_the_lane_is_wide_and_the_rest_in_its_order() -> None:
    lane = Lane(2)
    works = Works(lane, 1, 2, 3, 4)
    works.await_begun(1, 2)
    works.let_go()
    works.await_begun(1, 2, 3, 4)
    assert works.begun[2:] == [3, 4]


def test_what_is_forgotten_before_it_was_begun_never_is() -> None:
    lane = Lane(1)
    works = Works(lane, 1, 2, 3)
    works.await_begun(1)
    for number in (1, 2, 7):  # begun, waiting, unknown
        lane.forget(number)
    works.let_go()
    works.await_begun(1, 3)


def test_a_lane_that_was_cleared_has_room_again() -> None:
    lane = Lane(1)
    works = Works(lane, 1, 2, 3)
    works.await_begun(1)
    lane.clear()
    works.let_go()
    later = Works(lane, 4)
    later.await_begun(4)
    later.let_go()
    assert works.begun == [1]


def test_threads_end_when_there_is_nothing_to_do() -> None:
    before = threading.active_count()
    lane = Lane(3)
    works = Works(lane, *range(9))
    works.let_go()
    works.await_begun(*range(9))
    eventually(lambda: threading.active_count() <= before, "an end of the threads")
