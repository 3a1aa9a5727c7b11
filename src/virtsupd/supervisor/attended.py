"""What there is of a machine beside its process, from a spawn or adoption until nothing of it is left."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from virtsupd.machine.attendance import Attendance


@dataclass(eq=False, slots=True)
class Attended:
    """The attendance of one run, and what ends with it."""

    attendance: "Attendance"
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    descent: anyio.CancelScope | None = None
    """Of the stop ladder, once it is walked down."""

    def end(self) -> None:
        """Attend to it no more."""
        self.scope.cancel()
        if self.descent is not None:
            self.descent.cancel()
