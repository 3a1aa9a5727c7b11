"""Doing things at the same time, but not too many."""

import threading
from collections.abc import Callable

Work = Callable[[], None]


class Lane:
    """Does at most `width` things at a time, each in a thread; the others wait, in their order.

    A libvirtd that hangs holds up all that is asked of it: without a limit threads, and virshs,
    would pile up until the host has no memory left. Threads last while there is something to do.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._lock = threading.Lock()
        self._working = 0
        self._waiting: dict[int, Work] = {}

    def put(self, number: int, work: Work) -> None:
        """Do it as soon as there is room; it may not raise. `number` is what `forget` takes."""
        with self._lock:
            if self._working == self._width:
                self._waiting[number] = work
                return
            self._working += 1
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def forget(self, number: int) -> None:
        """Do not begin it any more; what was begun goes on."""
        with self._lock:
            self._waiting.pop(number, None)

    def clear(self) -> None:
        """Begin nothing of what waits."""
        with self._lock:
            self._waiting.clear()

    def _run(self, first: Work) -> None:
        work: Work | None = first
        while work is not None:
            work()
            work = self._next()

    def _next(self) -> Work | None:
        with self._lock:
            for number in self._waiting:
                return self._waiting.pop(number)
            self._working -= 1
            return None
