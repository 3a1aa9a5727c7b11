"""Writes numbered lines, one write(2) each: svc_numbers.py HOW COUNT; TERM ends it with a last line.

steady N   N lines a second
bursts N   N lines at each USR1, as fast as it goes
words N    N lines at USR1, which are its last words: it ends with code 3

The lines are "NUMBER PID xxx…"; the last one is "end NUMBER PID MS": how many there were, and how many
milliseconds the slowest write took.
"""

import os
import signal
import sys
import time

LENGTH = 100
PAUSE_SECONDS = 0.01


class Writer:
    def __init__(self, count: int) -> None:
        self.count = count
        self.written = 0
        self.slowest = 0.0
        self.asked = {signal.SIGTERM: 0, signal.SIGUSR1: 0}
        for number in self.asked:
            signal.signal(number, self.ask)

    def ask(self, number: int, _frame: object) -> None:
        self.asked[signal.Signals(number)] += 1

    def steady(self) -> None:
        begun = time.monotonic()
        while not self.asked[signal.SIGTERM]:
            time.sleep(max(begun + self.written / self.count - time.monotonic(), 0))
            self.line()

    def bursts(self) -> None:
        taken = 0
        while not self.asked[signal.SIGTERM]:
            if taken == self.asked[signal.SIGUSR1]:
                time.sleep(PAUSE_SECONDS)
                continue
            taken += 1
            for _ in range(self.count):
                self.line()

    def words(self) -> None:
        while not self.asked[signal.SIGTERM]:
            time.sleep(PAUSE_SECONDS)
            if self.asked[signal.SIGUSR1]:
                for _ in range(self.count):
                    self.line()
                self.end(3)

    def line(self) -> None:
        text = f"{self.written} {os.getpid()} "
        line = f"{text}{'x' * (LENGTH - 1 - len(text))}\n".encode()
        begun = time.monotonic()
        if os.write(1, line) != len(line):
            os.write(2, b"cut by write(2)\n")
        self.slowest = max(self.slowest, time.monotonic() - begun)
        self.written += 1

    def end(self, code: int) -> None:
        line = f"end {self.written} {os.getpid()} {self.slowest * 1000:.0f}\n"
        os.write(1, line.encode())
        sys.exit(code)


writer = Writer(int(sys.argv[2]))
{"steady": writer.steady, "bursts": writer.bursts, "words": writer.words}[sys.argv[1]]()
writer.end(0)
