"""The smallest account goes first, and one turn is granted in each pass of the loop."""

import anyio
import anyio.lowlevel
import pytest

from virtsupd.control.turns import Account, Turns
from virtsupd.core.events import Instant


class HandClock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> Instant:
        return Instant(self.seconds, self.seconds)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody sleeps {seconds} s here")


def test_half_of_an_account_is_forgiven_each_second() -> None:
    clock = HandClock()
    account = Account(clock)
    account.charge(0.8)
    clock.seconds += 2
    assert round(account.used_seconds, 6) == 0.2


def test_the_time_of_a_block_is_counted_also_when_it_fails() -> None:
    clock = HandClock()
    account = Account(clock)

    def fail() -> None:
        with account.charged():
            clock.seconds += 0.5
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert round(account.used_seconds, 6) == 0.5


def test_one_process_has_one_account() -> None:
    turns = Turns(HandClock())
    assert turns.account(0, 10) is turns.account(0, 10)
    assert turns.account(0, 10) is not turns.account(0, 11)


def test_accounts_of_processes_that_left_are_forgotten_in_the_end() -> None:
    turns = Turns(HandClock())
    kept = turns.account(0, 1)
    kept.seats = 1
    spent = turns.account(0, 2)
    spent.charge(1)
    for pid in range(3, 6000):
        turns.account(0, pid)
    assert turns.account(0, 1) is kept
    assert turns.account(0, 2) is spent
    assert turns.account(0, 3).used_seconds == 0


def test_who_asks_for_little_and_finds_nobody_waiting_is_served_at_once() -> None:
    turns, order = Turns(HandClock()), list[str]()
    turns.ask(turns.account(0, 1), lambda: order.append("first"))
    assert order == ["first"]
    turns.account(0, 2).charge(1)
    turns.ask(turns.account(0, 2), lambda: order.append("large"))
    turns.ask(turns.account(0, 1), lambda: order.append("behind"))
    assert order == ["first"]


async def served(turns: Turns, order: list[str], count: int) -> None:
    """Let turns be granted until so many have come."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turns.run)
        while len(order) < count:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()


async def test_the_smallest_account_goes_first_and_its_growth_counts() -> None:
    clock, order = HandClock(), list[str]()
    turns = Turns(clock)
    greedy, modest = turns.account(0, 1), turns.account(0, 2)
    greedy.charge(0.1)
    modest.charge(0.5)

    def grow() -> None:
        order.append("greedy")
        greedy.charge(0.3)

    for _ in range(4):
        turns.ask(greedy, grow)
    turns.ask(modest, lambda: order.append("modest"))
    await served(turns, order, 5)
    assert order == ["greedy", "greedy", "modest", "greedy", "greedy"]


async def test_equal_accounts_take_turns() -> None:
    clock, order = HandClock(), list[str]()
    turns = Turns(clock)
    for name, pid in (("a", 1), ("b", 2)):
        account = turns.account(0, pid)
        account.charge(0.1)
        for _ in range(3):
            turns.ask(account, lambda name=name: order.append(name))  # type: ignore[misc] # bound now
    await served(turns, order, 6)
    assert order == ["a", "b", "a", "b", "a", "b"]
