"""What the real daemons of libvirt say of configurations, in private namespaces."""

import json
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support.checks import eventually
from tests.support.namespaces import isolated

ASKER = Path(__file__).with_name("libvirt_asker.py")
ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a daemon did with a configuration."""

    is_ready: bool
    status: int
    """Its exit status, -N for signal N; also of one that was ready and was told to end."""
    output: str


@dataclass(frozen=True, slots=True)
class Daemons:
    """Real daemons, one at a time."""

    stream: IO[str]

    def verdict(self, program: str, conf: str, arguments: Sequence[str] = ()) -> Verdict:
        """Start a daemon on a file of that text and say whether it became ready; it has ended."""
        question = {"program": program, "conf": conf, "arguments": list(arguments)}
        self.stream.write(json.dumps(question) + "\n")
        self.stream.flush()
        return Verdict(**json.loads(self.stream.readline()))


@contextmanager
def libvirt_daemons(shared: Path) -> Iterator[Daemons]:
    """Give daemons that may be started in namespaces of their own, with nothing else in them."""
    address = shared / "asker"
    program = [sys.executable, "-I", "-S", str(ASKER), str(address)]
    with isolated(program, shared=shared), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_SECONDS)
        eventually(lambda: has_connected(client, address), "a namespace that answers")
        with client.makefile("rw", encoding="utf-8") as stream:
            yield Daemons(stream)


def has_connected(client: socket.socket, address: Path) -> bool:
    """Connect; not yet if nobody listens there."""
    try:
        client.connect(str(address))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True
