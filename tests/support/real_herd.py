"""The real `herd` of GNU Shepherd 1.0, and Guile beside it, as `scripts/get-herd` makes them."""

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
MAKING_SECONDS = 300
"""The first time; it needs Debian's archive."""
CALL_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended."""

    code: int
    output: str
    errors: str


@cache
def herd_program() -> Path:
    """Return the program's path, making it if this is the first time on this machine.

    Raises:
        AssertionError: it cannot be made; the message says why.
    """
    made = make_herd(dict(os.environ))
    assert made.code == 0, made.errors
    return Path(made.output.strip())


def make_herd(environment: dict[str, str]) -> Outcome:
    """Run `scripts/get-herd`, whose output is the program's path."""
    return _run([str(CHECKOUT / "scripts/get-herd")], environment, seconds=MAKING_SECONDS)


def herd(socket: Path, *words: str) -> Outcome:
    """Run `herd` against `socket` with times in UTC and texts in English."""
    return _run([str(herd_program()), "-s", str(socket), *words], _plain_environment())


def herd_installed(socket: Path, *words: str) -> Outcome:
    """Run `herd` as `herd` does, where its libraries seem to be installed: what shows timers looks there.

    Its own folder lies below this host's for that one run, in a mount namespace.
    """
    program = herd_program()
    (libraries,) = program.parent.glob("root/usr/lib/*-linux-gnu")
    place = f"/usr/lib/{libraries.name}"
    mount = f"mount -t overlay overlay -o lowerdir={place}:{libraries} {place}"
    inside = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    return _run([*inside, str(program), "-s", str(socket), *words], _plain_environment())


def guile(expression: str, text: str = "") -> str:
    """Return what a Guile expression prints, `text` being its standard input."""
    program = str(herd_program().with_name("guile"))
    command = [program, "-c", f'(setlocale LC_ALL "") {expression}']
    outcome = _run(command, _plain_environment(), text)
    assert outcome.code == 0, outcome.errors
    return outcome.output


def _plain_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _run(
    command: list[str], environment: dict[str, str], text: str = "", seconds: float = CALL_SECONDS
) -> Outcome:
    done = subprocess.run(  # noqa: PLW1510 - the status is the outcome
        command, input=text.encode(), capture_output=True, env=environment, timeout=seconds
    )
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
