"""How a process ended, as a type instead of a bare number."""

from virtsupd.core.frozen import frozen

_SIGNALS = [
    "HUP",
    "INT",
    "QUIT",
    "ILL",
    "TRAP",
    "ABRT",
    "BUS",
    "FPE",
    "KILL",
    "USR1",
    "SEGV",
    "USR2",
    "PIPE",
    "ALRM",
    "TERM",
    "STKFLT",
    "CHLD",
    "CONT",
    "STOP",
    "TSTP",
    "TTIN",
    "TTOU",
    "URG",
    "XCPU",
    "XFSZ",
    "VTALRM",
    "PROF",
    "WINCH",
    "IO",
    "PWR",
    "SYS",
]


@frozen
class ExitStatus:
    """Exit code or signal; both None when the kernel no longer tells (an adopted process)."""

    code: int | None = None
    signal: int | None = None
    dumped_core: bool = False
    words: str = ""
    """What became of something that is no process: "shut down from inside"."""

    @property
    def wait_status(self) -> int | None:
        """The number wait(2) gives, as herd's wire has it; None if unknown."""
        if self.code is not None:
            return self.code << 8
        if self.signal is not None:
            return self.signal | (0x80 if self.dumped_core else 0)
        return None

    @property
    def tells_little(self) -> bool:
        """Whether it is what every end may look like: code 0, or nothing at all."""
        return not self.words and not self.code and self.signal is None

    def __str__(self) -> str:
        """Say it for people: "exited with code 3", "ended by SIGKILL"."""
        if self.words:
            return self.words
        if self.code is not None:
            return f"exited with code {self.code}"
        if self.signal is not None:
            core = " and dumped core" if self.dumped_core else ""
            return f"ended by {signal_name(self.signal)}{core}"
        return "ended in an unknown way"


def signal_name(number: int) -> str:
    """Return "SIGTERM" for 15 (Linux numbers, x86 and ARM); numbers without a name as "signal 40"."""
    if 1 <= number <= len(_SIGNALS):
        return f"SIG{_SIGNALS[number - 1]}"
    return f"signal {number}"


def from_wait_status(status: int) -> ExitStatus:
    """Return what a wait(2) status says."""
    if status & 0x7F == 0:
        return ExitStatus(code=status >> 8 & 0xFF)
    return ExitStatus(signal=status & 0x7F, dumped_core=bool(status & 0x80))
