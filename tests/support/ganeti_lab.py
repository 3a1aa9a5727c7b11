"""A real Ganeti cluster: the nodes of scripts/ganeti-lab, and what their virtsupds say."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.checks import eventually

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "ganeti-lab"
SECONDS = 170.0
OF_MASTER = ("ganeti-wconfd", "ganeti-rapi", "ganeti-luxid")
DAEMONS = {
    f"ganeti-{name}"
    for name in ["noded", "confd", "wconfd", "luxid", "rapi", "kvmd", "mond", "metad"]
}
OF_ALL = ("ganeti-noded", "ganeti-confd", "ganeti-mond")

Said = Mapping[str, Any]


@dataclass(frozen=True)
class Lab:
    """One lab."""

    name: str

    def do(self, *words: str, expect: int | None = 0) -> str:
        """Run scripts/ganeti-lab, which has to end like this; return what it printed."""
        done = subprocess.run(
            [str(SCRIPT), "--name", self.name, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert expect in (None, done.returncode), f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def on(self, node: str, *words: str, expect: int | None = 0) -> str:
        """Run a command on a node."""
        return self.do("exec", node, *words, expect=expect)

    def shell(self, node: str, line: str, *, expect: int | None = 0) -> str:
        """Run a line of the shell on a node."""
        return self.on(node, "sh", "-c", line, expect=expect)

    def services(self, node: str) -> dict[str, Said]:
        """Return what virtsupd says of each service of a node."""
        said = json.loads(self.on(node, "virtsupctl", "--json", "status"))
        return {found["name"]: found for found in said["services"]}

    def service(self, node: str, name: str) -> Said:
        """Return what virtsupd says of one."""
        return self.services(node)[name]

    def pid(self, node: str, name: str) -> int:
        """Return the pid of a service that runs, as its node counts."""
        found = self.service(node, name)
        assert found["state"] == "running", found
        return int(found["pid"])

    def virtsupd(self, node: str) -> int | None:
        """Return the pid of virtsupd; None while it does not answer."""
        said = self.on(node, "virtsupctl", "--json", "status", expect=None)
        daemon = json.loads(said).get("daemon") if said.startswith("{") else None
        return int(daemon["pid"]) if daemon is not None else None

    def crash_virtsupd(self, node: str) -> None:
        """Kill virtsupd as hard as can be, and return when the next one answers."""
        before = self.virtsupd(node)
        self.on(node, "kill", "-9", str(before))
        eventually(
            lambda: self.virtsupd(node) not in (None, before), "another virtsupd", seconds=20
        )

    def await_all(self, node: str, *names: str, seconds: float = 60.0) -> None:
        """Return once these services run, with processes."""

        def run() -> bool:
            found = self.services(node)
            return all(found[name]["state"] == "running" and found[name]["pid"] for name in names)

        eventually(run, f"{', '.join(names)} on {node}", seconds=seconds)

    def strays(self, node: str) -> list[str]:
        """Return the command lines of Ganeti's daemons on a node that no service has as its process.

        Daemons come and go while this looks, so that only one which is nobody's twice is a stray.
        """
        first = self._nobodys(node)
        return [line for pid, line in self._nobodys(node).items() if pid in first]

    def _nobodys(self, node: str) -> dict[int, str]:
        """Return the daemons that run now and are no service's right afterwards, by pid."""
        rows = [
            line.split(maxsplit=3)
            for line in self.on(node, "ps", "-eo", "pid=,ppid=,comm=,args=").splitlines()
        ]
        own = {found["pid"] for found in self.services(node).values()}
        return {
            int(pid): line
            for pid, parent, name, line in rows
            if name in DAEMONS and not own & {int(pid), int(parent)}
        }

    def master_daemons(self, node: str) -> list[str]:
        """Return the command lines of wconfd and luxid on a node."""
        rows = self.on(node, "ps", "-eo", "comm=,args=").splitlines()
        return [row for row in rows if row.split()[0] in ("ganeti-wconfd", "ganeti-luxid")]


@contextmanager
def lab(count: int) -> Iterator[Lab]:
    """Make a verified cluster of so many nodes; nothing is left of it."""
    made = Lab(f"test-{os.getpid()}-{count}")
    try:
        made.do("up", str(count))
        yield made
    finally:
        made.do("down")
        assert not Path("/run/virtsupd-labs", made.name).exists()
