"""Where virtsupd dies: every call into the world passes here, before and after it takes effect."""


class Crash(BaseException):
    """virtsupd has been killed: nothing of it runs any more. Not an Exception: nobody catches it."""


class Power:
    """The life of one virtsupd. After a crash every further call into the world is one, too."""

    def __init__(self) -> None:
        self.is_dead = False
        self.strikes = 0
        self._left: int | None = None

    def arm(self, strikes: int) -> None:
        """Die at the so-manyth step from now."""
        self._left = strikes

    def check(self) -> None:
        """Stop who is dead already."""
        if self.is_dead:
            raise Crash

    def strike(self) -> None:
        """Pass a point at which virtsupd can die."""
        self.check()
        self.strikes += 1
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.is_dead = True
                raise Crash
