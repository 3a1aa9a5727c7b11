"""Work that ends with something else: with a deadline that the clock keeps, or with other work."""

from collections.abc import Awaitable, Callable

import anyio

from virtsupd.process.clock import Clock

Work = Callable[[], Awaitable[object]]


async def ends_within(seconds: float, work: Work, clock: Clock) -> bool:
    """Do some work, cancelled after so many seconds; 0 is no limit. Return whether it ended by itself.

    What it raises is raised.
    """
    has_ended = False

    async def do() -> None:
        nonlocal has_ended
        await work()
        has_ended = True

    if seconds:
        await first_of(do, lambda: clock.sleep(seconds))
    else:
        await do()
    return has_ended


async def first_of(*works: Work) -> None:
    """Return when one of these has ended; the others are cancelled. What the first one raises is raised."""
    failures: list[Exception] = []
    async with anyio.create_task_group() as tasks:

        async def run(work: Work) -> None:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - raised below, out of the group that would wrap it
                failures.append(error)
            tasks.cancel_scope.cancel()

        for work in works:
            tasks.start_soon(run, work)
    for failure in failures:
        raise failure
