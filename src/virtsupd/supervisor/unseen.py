"""Services that could not be looked for, for want of a descriptor or the like: tried again."""

import asyncio
from collections.abc import Callable

import structlog

from virtsupd.core.effects import Adopt
from virtsupd.core.names import Name

log = structlog.get_logger()

_LOOK_AGAIN_SECONDS = 1.0


class Unseen:
    """Takes services over, once it can be seen what there is of them."""

    def __init__(self, adopt: Callable[[Adopt], None]) -> None:
        """Take what adopts one, or raises OSError."""
        self._adopt = adopt
        self._effects: dict[Name, Adopt] = {}

    def take_over(self, effect: Adopt) -> None:
        """Adopt a service, now or as soon as that is possible."""
        self._effects.pop(effect.name, None)
        try:
            self._adopt(effect)
        except OSError as error:
            log.warning("service cannot be looked for", service=effect.name, reason=str(error))
            self._effects[effect.name] = effect
            asyncio.get_running_loop().call_later(_LOOK_AGAIN_SECONDS, self._again, effect)

    def is_still(self, name: Name) -> bool:
        """Whether a service cannot be looked for even now."""
        if name in self._effects:
            self.take_over(self._effects[name])
        return name in self._effects

    def clear(self) -> None:
        """Look no more."""
        self._effects.clear()

    def _again(self, effect: Adopt) -> None:
        if self._effects.get(effect.name) is effect:
            self.take_over(effect)
