"""What is done for a machine ends as a whole."""

import anyio

from virtsupd.supervisor.attended import Attended


async def test_its_end_is_the_end_of_all_that_is_done_for_it() -> None:
    attended = Attended(None)  # type: ignore[arg-type]  # it is not asked
    attended.descent = anyio.CancelScope()
    attended.end()
    assert attended.scope.cancel_called
    assert attended.descent.cancel_called
