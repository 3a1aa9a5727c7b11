"""A virsh that says what the test wants, and notes what it was asked."""

import os
from pathlib import Path

from tests.support.checks import eventually, text_of

URI = "qemu+ssh://elsewhere/system"
"""A libvirt whose guests are no processes of this host."""

_PROGRAM = """#!/bin/sh
cd {directory}
asked=
for word; do asked="$asked$word{separator}"; done
printf '%s\\n' "$asked" >>asked
shift 3
if [ "$1" = -k ]; then
  echo $$ >>watchers
  . ./greeting
  while IFS= read -r line && [ "$line" != END ]; do printf '%s\\n' "$line"; done <events
  exit
fi
. "./$1"
"""


class FakeVirsh:
    """A program `virsh` in a directory of its own. What it does for a command is shell.

    `path` is the PATH on which there is no other virsh; besides, it has `cat`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "bin").mkdir(parents=True)
        for name in ("events", "never"):
            os.mkfifo(directory / name)
        self._events = os.open(directory / "events", os.O_RDWR)
        self._never = os.open(directory / "never", os.O_RDWR)
        (directory / "bin/cat").symlink_to("/bin/cat")
        self.path = str(directory / "bin")
        self.does("greeting", "echo connected")
        self.says("domstats", "")
        self.install()

    def install(self) -> None:
        """Put it where it is found."""
        program = self.directory / "bin" / "new"
        program.write_text(_PROGRAM.format(directory=self.directory, separator="\037"))
        program.chmod(0o755)
        program.rename(program.with_name("virsh"))

    def remove(self) -> None:
        """Have none."""
        (self.directory / "bin" / "virsh").unlink()

    def does(self, command: str, shell: str) -> None:
        """Let a command do this; "greeting" is what the one for events does first."""
        (self.directory / command).write_text(shell + "\n")

    def says(self, command: str, text: str) -> None:
        """Let a command write this."""
        self.does(command, f"cat <<'END'\n{text}\nEND")

    def fails(self, command: str, complaint: str) -> None:
        """Let a command fail."""
        self.does(command, f"cat >&2 <<'END'\nerror: {complaint}\nEND\nexit 1")

    def hangs(self, command: str) -> None:
        """Let a command hang until `release`; those that do are noted."""
        self.does(command, "echo $$ >>hanging\nexec cat never")

    def hanging(self) -> list[int]:
        """Return the pids of all that have ever hung."""
        return [int(pid) for pid in text_of(self.directory / "hanging").split()]

    def release(self) -> None:
        """Let go on what hangs, and what will."""
        (self.directory / "nothing").touch()
        (self.directory / "nothing").rename(self.directory / "never")
        os.close(self._never)
        self._never = -1

    def tell(self, text: str) -> None:
        """Write a line as the command for events."""
        os.write(self._events, text.encode() + b"\n")

    def lose(self) -> None:
        """Let the command for events end."""
        self.tell("END")

    def watchers(self) -> list[int]:
        """Return the pids of all commands for events that there ever were."""
        return [int(pid) for pid in text_of(self.directory / "watchers").split()]

    def await_watcher(self) -> int:
        """Return the pid of the first command for events."""
        return eventually(self.watchers, "a command for events")[0]

    def asked(self, command: str) -> list[list[str]]:
        """Return the words of each call of a command, beginning with that."""
        rows = (row.split("\037")[:-1] for row in text_of(self.directory / "asked").split("\n"))
        return [row[row.index(command) :] for row in rows if command in row]

    def close(self) -> None:
        """Let everything go on and end."""
        for descriptor in (self._events, self._never):
            if descriptor >= 0:
                os.close(descriptor)


def is_running(pid: int) -> bool:
    """Whether it runs; one that nobody has waited for yet does not."""
    stat = text_of(Path(f"/proc/{pid}/stat"))
    return bool(stat) and stat.rpartition(")")[2].split()[0] != "Z"


def states(*domains: tuple[str, int, int]) -> str:
    """Return what `domstats --state` says of domains: name, state, reason."""
    return "\n\n".join(
        f"Domain: '{name}'\n  state.state={state}\n  state.reason={reason}"
        for name, state, reason in domains
    )
