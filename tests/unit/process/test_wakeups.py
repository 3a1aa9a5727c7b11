"""Growing pauses, and looking again where the kernel does not tell."""

import anyio
import pytest

from virtsupd.process.wakeups import Changes, MountChanges, NetworkChanges, Pause


def test_a_pause_doubles_up_to_its_longest_and_begins_again() -> None:
    pause = Pause(0.01, 0.25)
    assert [pause.take() for _ in range(6)] == [0.01, 0.02, 0.04, 0.08, 0.16, 0.25]
    pause.reset()
    assert pause.take() == 0.01


class Refused(Changes):
    """A kernel without the facility."""

    def _listen(self) -> None:
        raise OSError(24, "no more of these")

    def _stop(self) -> None:
        """Hold nothing."""


async def test_without_the_facility_it_looks_again_after_a_while() -> None:
    looks = 0

    def look() -> str | None:
        nonlocal looks
        looks += 1
        return "found" if looks == 3 else None

    with anyio.fail_after(5):
        async with Refused() as changes:
            assert await changes.until(look) == "found"


@pytest.mark.parametrize("kind", [MountChanges, NetworkChanges])
async def test_a_wait_ends_at_its_limit(kind: type[MountChanges | NetworkChanges]) -> None:
    async with kind() as changes:
        changes.rearm()
        assert not await changes.wait(0.001)


async def test_a_change_before_the_wait_ends_it_at_once() -> None:
    async with MountChanges() as changes:
        changes.rearm()
        changes.changed()
        assert await changes.wait()
