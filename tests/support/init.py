"""The first process of a test's pid namespace: init.py REPORT PROGRAM [ARGUMENT…].

Reaps whatever becomes its child, at once. When PROGRAM has ended, writes REPORT (JSON: `status`,
and `left`, the processes that outlived it as [pid, name]) and ends, and the kernel ends the rest.
But when PROGRAM was killed by KILL, it goes on as long as there is anybody to reap.
TERM is passed on to PROGRAM; standard library only, since it runs without the project's packages.
"""

import json
import os
import signal
import sys
from pathlib import Path

SETTLE_SECONDS = 1.0
"""What PROGRAM signalled last may still be on its way out when it ends."""


def others() -> list[tuple[int, str]]:
    """Return every process of the namespace that is neither this one nor a zombie."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            name, state = (entry / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state.split()[0] != "Z":
            found.append((int(entry.name), name))
    return found


def reap_until_end_of(program: int) -> int:
    """Reap children until `program` is one of them, and return its exit status."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == program:
            return os.waitstatus_to_exitcode(status)


def left_over() -> list[tuple[int, str]]:
    """Return who is still there after a moment, reaping meanwhile."""
    signal.setitimer(signal.ITIMER_REAL, SETTLE_SECONDS)
    try:
        while others():
            os.waitpid(-1, 0)
    except (TimeoutError, ChildProcessError):
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return others()


def interrupt(*_: object) -> None:
    """End the wait of `left_over`."""
    raise TimeoutError


def main(report: str, command: list[str]) -> int:
    """Run the command and return its exit status, as a shell has it."""
    signal.signal(signal.SIGALRM, interrupt)
    program = os.posix_spawnp(command[0], command, os.environ)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(program, signal.SIGTERM))
    status = reap_until_end_of(program)
    Path(report).write_text(json.dumps({"status": status, "left": left_over()}))
    while status == -signal.SIGKILL and others():
        os.waitpid(-1, 0)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
