"""A virtsupd that re-executes itself: stopped in the window, and as another program."""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.daemon import CHECKOUT, Daemon

WAITS = """
import os
if "VIRTSUPD_HANDOVER" in os.environ and os.path.exists({gate!r}):
    with open({told!r}, "w") as told:
        told.write("here")
    with open({gate!r}) as gate:
        gate.read()
"""
"""What Python runs before the program: the new one tells that it is there, and waits at a gate."""

LOADS = """
import os, sys
class Gate:
    def find_spec(self, name, path=None, target=None):
        is_here = name == "virtsupd.cli.supervise" and "--check-reexec" not in sys.orig_argv
        if is_here and os.path.exists({gate!r}):
            with open({told!r}, "w") as told:
                told.write(str(os.getpid()))
            with open({gate!r}) as gate:
                gate.read()
sys.meta_path.insert(0, Gate())
"""
"""As WAITS, and it waits in the program's first instants."""

PROGRAM = """#!{python}
import sys
sys.path.insert(0, {library!r})
from virtsupd.cli.virtsupd import main
sys.exit(main())
"""


class Window:
    """Holds a virtsupd between its exec and its first own line."""

    def __init__(self, directory: Path, waits: str = WAITS) -> None:
        self._gate, self._told = directory / "gate", directory / "told"
        site = directory / "site"
        site.mkdir()
        text = waits.format(gate=str(self._gate), told=str(self._told))
        (site / "sitecustomize.py").write_text(text)
        self.environment = {"PYTHONPATH": str(site)}
        """To start virtsupd with."""

    @contextmanager
    def signalling(self, *signals: int) -> Iterator[None]:
        """Send signals to the next virtsupd that begins, before it has any handler."""

        def send() -> None:
            pid = int(self._told.read_text())
            for number in signals:
                os.kill(pid, number)
            with self._gate.open("w"):
                self._gate.unlink()

        os.mkfifo(self._gate)
        os.mkfifo(self._told)
        with in_background(send):
            yield
        self._told.unlink()

    @contextmanager
    def open(self, daemon: Daemon) -> Iterator[None]:
        """Re-execute it; yield in the window, and return once the new program answers."""
        os.mkfifo(self._gate)
        os.mkfifo(self._told)
        before = daemon.call("Status", names=[])["daemon"]["reexecs"]
        try:
            with daemon.client as client:
                client.call("Reexec")
                with self._told.open() as told:
                    assert told.read() == "here"
                yield
                self._gate.open("w").close()
                client.await_end()
                assert client.call("Status", {"names": []})["daemon"]["reexecs"] == before + 1  # type: ignore[index]  # JSON
        finally:
            self._gate.unlink()
            self._told.unlink()


class Programs:
    """Versions of virtsupd side by side, and the link that says which one counts."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.link = directory / "current"
        self.prefix = ("/bin/sh", "-c", f'shift 3; exec {self.link}/virtsupd "$@"', "sh")
        """Runs the one that the link names, in place of the ordinary program."""

    def add(self, name: str, *changes: tuple[str, str, str]) -> None:
        """Make a version, in which texts of modules are replaced, and turn the link to it."""
        place = self._directory / name
        library = place / "lib"
        shutil.copytree(
            CHECKOUT / "src/virtsupd",
            library / "virtsupd",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        self.change(name, ("__init__.py", '"0.1.0"', f'"{name}"'), *changes)
        script = place / "virtsupd"
        script.write_text(PROGRAM.format(python=sys.executable, library=str(library)))
        script.chmod(0o755)
        self.turn(name)

    def change(self, name: str, *changes: tuple[str, str, str]) -> None:
        """Replace texts of modules of a version."""
        for module, before, after in changes:
            path = self._directory / name / "lib/virtsupd" / module
            text = path.read_text()
            assert before in text, f"{module} has no {before}"
            path.write_text(text.replace(before, after))

    def turn(self, name: str) -> None:
        """Turn the link to a version, as an upgrade does."""
        new = self.link.with_name("new")
        new.symlink_to(name)
        new.rename(self.link)


@contextmanager
def in_background(work: Callable[[], object]) -> Iterator[list[object]]:
    """Run something in a thread meanwhile; the list has what it returned, once it has."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    try:
        yield found
    finally:
        thread.join(30)
        assert not thread.is_alive()


def descriptors(daemon: Daemon) -> int:
    """Count what a virtsupd has open."""
    return len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))


def parent(pid: int) -> int:
    """Return whose child a process is."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])
