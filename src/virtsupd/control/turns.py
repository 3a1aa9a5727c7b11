"""Whose message is next: clients share the event loop by what they have used of it lately.

Each process that connects has one account, however often it connects. An account holds the loop's
time that was spent on it; half of that is forgiven every second. Whatever a client wants done
waits for its turn, one turn in each pass of the event loop, the smallest account first. So a
client that asks for little is served within a few passes, however many others ask for much.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import anyio
import anyio.lowlevel

from virtsupd.process.clock import Clock

_HALF_LIFE_SECONDS = 1.0
_LITTLE_SECONDS = 0.002
"""Who has used less than this, and finds nobody waiting, need not wait for the next pass."""
_MOST_ACCOUNTS = 4096


class Account:
    """What one process has used of the event loop lately."""

    def __init__(self, clock: Clock) -> None:
        """Begin with nothing used."""
        self._clock = clock
        self._used = 0.0
        self._counted_at = clock.now().monotonic
        self.seats = 0
        """How many connections the process has."""
        self.waiting: deque[Callable[[], object]] = deque()
        """What it wants done, in the order it asked."""

    @property
    def used_seconds(self) -> float:
        """Time used, what is long ago counting less."""
        now = self._clock.now().monotonic
        self._used *= 0.5 ** ((now - self._counted_at) / _HALF_LIFE_SECONDS)
        self._counted_at = now
        return self._used

    def charge(self, seconds: float) -> None:
        """Count time that was used."""
        self._used = self.used_seconds + seconds

    @contextmanager
    def charged(self) -> Iterator[None]:
        """Count the time of a block that does not wait."""
        began = self._clock.now().monotonic
        try:
            yield
        finally:
            self.charge(self._clock.now().monotonic - began)


class Turns:
    """The queue for the event loop's time."""

    def __init__(self, clock: Clock) -> None:
        """Begin with nobody waiting."""
        self._clock = clock
        self._accounts: dict[tuple[int, int], Account] = {}
        self._waiting: list[tuple[float, int, Account]] = []
        """A heap with one entry for each account that waits; its time as it was then."""
        self._numbers = count()
        self._is_wanted = anyio.Event()

    def account(self, uid: int, pid: int) -> Account:
        """Return the account of a process."""
        found = self._accounts.get((uid, pid))
        if found is None:
            if len(self._accounts) >= _MOST_ACCOUNTS:
                self._forget_small_accounts()
            found = self._accounts[uid, pid] = Account(self._clock)
        return found

    def ask(self, account: Account, callback: Callable[[], object]) -> None:
        """Call `callback` when it is the account's turn: at once, if nothing speaks against it."""
        used = account.used_seconds
        if not self._waiting and used < _LITTLE_SECONDS:
            callback()
            return
        account.waiting.append(callback)
        if len(account.waiting) == 1:
            heapq.heappush(self._waiting, (used, next(self._numbers), account))
        self._is_wanted.set()

    async def turn(self, account: Account) -> None:
        """Wait for the account's turn."""
        come = anyio.Event()
        self.ask(account, come.set)
        await come.wait()

    async def run(self) -> None:
        """Grant turns until cancelled."""
        while True:
            await self._is_wanted.wait()
            while self._waiting:
                self._grant()
                await anyio.lowlevel.checkpoint()
            self._is_wanted = anyio.Event()

    def _grant(self) -> None:
        """Serve the smallest account. Those that grew since they came to wait are put back."""
        account = self._smallest()
        callback = account.waiting.popleft()
        if account.waiting:
            # Behind equal accounts: each has one turn before any has two.
            entry = (account.used_seconds, next(self._numbers), account)
            heapq.heapreplace(self._waiting, entry)
        else:
            heapq.heappop(self._waiting)
        callback()

    def _smallest(self) -> Account:
        while True:
            _, number, account = self._waiting[0]
            heapq.heapreplace(self._waiting, (account.used_seconds, number, account))
            if self._waiting[0][1] == number:
                return account

    def _forget_small_accounts(self) -> None:
        """Drop the accounts of processes without a connection, least used first, down to half."""
        gone = [key for key, account in self._accounts.items() if account.seats == 0]
        gone.sort(key=lambda key: self._accounts[key].used_seconds)
        for key in gone[: _MOST_ACCOUNTS // 2]:
            del self._accounts[key]
