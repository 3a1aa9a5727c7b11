"""Writes numbered lines, then says so: log_lines.py COUNT LENGTH PER_SECOND [DONE_FILE].

Each line is LENGTH bytes with its end and written by one write(2). PER_SECOND 0 is as fast as it goes.
A file DONE_FILE is made after the last line; then the program ends.
"""

import os
import sys
import time


def main() -> None:
    """Write."""
    lines, length, per_second = (int(argument) for argument in sys.argv[1:4])
    begun = time.monotonic()
    for number in range(lines):
        if per_second:
            time.sleep(max(begun + number / per_second - time.monotonic(), 0))
        os.write(1, f"{number:08d} {'x' * (length - 10)}\n".encode())
    for path in sys.argv[4:]:
        os.close(os.open(path, os.O_CREAT))


main()
