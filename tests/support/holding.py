"""The process that holds binfmt_misc's entries, run for a test in a table of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.binfmt import DIRECTORY, Kernel

from virtsupd.binfmt.platforms import lookup_qemu_platforms
from virtsupd.binfmt.proof import program
from virtsupd.binfmt.settings import Settings

HOLD = (sys.executable, "-I", "-m", "virtsupd.binfmt")
FOREIGN = f"echo ':NAME:M::MAGIC:MASK:/bin/false:' >{DIRECTORY}/register"
_SECONDS = 15.0


@dataclass(frozen=True)
class Holding:
    """A run of the process, and what it says to its supervisor."""

    process: subprocess.Popen[bytes]
    news: socket.socket

    def until(self, text: str) -> str:
        """Return the first message that has this text."""
        while text not in (said := self.news.recv(65536).decode()):
            pass
        return said

    def heard(self, seconds: float = 0.05) -> str:
        """Return the next message, "" if none comes."""
        self.news.settimeout(seconds)
        try:
            return self.news.recv(65536).decode()
        except TimeoutError:
            return ""
        finally:
            self.news.settimeout(_SECONDS)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal it and return how it ended."""
        self.process.send_signal(number)
        return self.process.wait(timeout=15)


@dataclass(frozen=True)
class Host:
    """A kernel's table, and settings for it."""

    kernel: Kernel
    directory: Path

    def settings(self, *platforms: str, flags: str = "FP", qemu: str | None = None) -> Path:
        """Write settings and return their file."""
        file = self.directory / "qemu-binfmt.conf"
        record = str(self.directory / "record.json")
        file.write_text(Settings(platforms, record, qemu=qemu, flags=flags).text)
        return file

    def entries(self) -> set[str]:
        """Return the names of all entries."""
        return set(self.kernel.run("ls", str(DIRECTORY)).stdout.split()) - {"register", "status"}

    def shell(self, script: str) -> str:
        """Run a line of shell inside."""
        return self.kernel.run("sh", "-c", script).stdout

    def add(self, name: str, platform: str) -> None:
        """Enter a foreign entry with the bytes of a platform."""
        [found] = lookup_qemu_platforms(platform)
        escaped = ("".join(f"\\x{b:02x}" for b in part) for part in (found.magic, found.mask))
        magic, mask = escaped
        line = FOREIGN.replace("NAME", name).replace("MAGIC", magic).replace("MASK", mask)
        self.kernel.run("bash", "-c", line.replace("echo ", "printf %s ", 1))

    def proof(self, platform: str) -> str:
        """Make the program of a platform and return its path."""
        file = self.directory / platform
        file.write_bytes(program(platform))
        file.chmod(0o755)
        return str(file)

    def runs(self, platform: str) -> bool:
        """Whether programs of the platform run."""
        return self.kernel.run(self.proof(platform), is_ok=False).returncode == 42

    @contextmanager
    def holding(self, settings: Path, *before: str) -> Iterator[Holding]:
        """Run the process; it ends with the test."""
        place = str(self.directory / "notify")
        Path(place).unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as news:
            news.bind(place)
            news.settimeout(_SECONDS)
            process = subprocess.Popen(
                self.kernel.enter(*before, *HOLD, str(settings)),
                env={**os.environ, "NOTIFY_SOCKET": place},
                stdout=subprocess.DEVNULL,
            )
            try:
                yield Holding(process, news)
            finally:
                process.kill()
                process.wait(timeout=15)
