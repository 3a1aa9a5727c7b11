"""A stand-in for a childhurd under a real virtsupd, in a network of its own where its ports are free."""

import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.checks import eventually, text_of
from tests.support.daemon import CHECKOUT, Daemon, Host, Json, host

IMAGE = CHECKOUT / ".cache/stand-in/childhurd.img"
MACH = CHECKOUT / ".cache/mach/mach.img"
BOOT_SECONDS = 120.0
"""Within which a guest is ready, under TCG on a host that has other work: 15 to 20 s where it has none."""
SSH_SECONDS = 60.0
COMMAND_SECONDS = 10.0
SECRETS_PORT, SSH_PORT = 11004, 10022
NET = (
    "user,id=net0,hostfwd=tcp:127.0.0.1:{secrets}-:1004,"
    "hostfwd=tcp:127.0.0.1:{ssh}-:2222,hostfwd=tcp:127.0.0.1:{vnc}-:5900"
)


def image() -> Path:
    """Return the stand-in's disk.

    Raises:
        AssertionError: it was not made.
    """
    assert IMAGE.exists(), "no stand-in is made: scripts/make-stand-in"
    return IMAGE


def mach() -> Path:
    """Return the disk with GNU Mach.

    Raises:
        AssertionError: it was not made.
    """
    assert MACH.exists(), "no GNU Mach is made: scripts/make-mach"
    return MACH


@dataclass(frozen=True, slots=True)
class Network:
    """A network namespace with nothing but the loopback interface, which is up."""

    holder: int

    @property
    def prefix(self) -> tuple[str, ...]:
        """What makes a program run in it."""
        return ("nsenter", f"--net=/proc/{self.holder}/ns/net", "--")

    def run(self, *command: str, seconds: float = COMMAND_SECONDS) -> str:
        """Run a program there to its end and return what it prints.

        Raises:
            AssertionError: it failed.
        """
        done = subprocess.run(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def network() -> Iterator[Network]:
    """Yield a network that lasts as long as the context, whoever is in it."""
    line = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec cat >/dev/null"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"up\n", "no network namespace can be made"
        try:
            yield Network(holder.pid)
        finally:
            holder.send_signal(signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class StandIn:
    """A host file with a `[hurd_vm]`, and where its machine is reached."""

    host: Host
    network: Network

    @property
    def secrets(self) -> Path:
        """The directory of its secrets."""
        return self.host.root / "secrets"

    def table(self, *lines: str, element: str = "[hurd_vm]") -> str:
        """Return a table of host files for one machine; `lines` stand in place of ours of that key."""
        own = {
            "image": f'"{image()}"',
            "user": '"nobody"',
            "kvm": "false",
            "secret_root": f'"{self.secrets}"',
        }
        keys = {line.split("=", 1)[0].strip() for line in lines}
        kept = [f"{key} = {value}" for key, value in own.items() if key not in keys]
        return "\n".join([element, *kept, *lines, ""])

    def ssh(self, command: str, *, port: int = SSH_PORT) -> str:
        """Run a command in the guest, whose host key has to be the one of the secrets; return its output."""
        key = text_of(self.secrets / "etc/ssh/ssh_host_ed25519_key.pub").split()
        known = self.host.root / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {' '.join(key[:2])}\n")
        return self._ssh(command, port, "StrictHostKeyChecking=yes", f"UserKnownHostsFile={known}")

    def ssh_to_any(self, command: str, *, port: int = SSH_PORT) -> str:
        """Run a command in the guest, whatever its host key is; return its output."""
        anyone = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
        return self._ssh(command, port, *anyone)

    def _ssh(self, command: str, port: int, *host_key: str) -> str:
        options = (*host_key, "GlobalKnownHostsFile=/dev/null", "HostKeyAlgorithms=ssh-ed25519",
                   "PreferredAuthentications=none", "IdentityAgent=none", "LogLevel=ERROR")  # fmt: skip
        words = [word for option in options for word in ("-o", option)]
        return self.network.run(
            *("ssh", "-F", "none", *words, "-p", str(port), "root@127.0.0.1", command),
            seconds=SSH_SECONDS,
        )


def words(*behaviour: str) -> str:
    """Return the line of a table that makes the stand-in behave otherwise; see scripts/make-stand-in."""
    name = f"name=opt/virtsupd/stand-in,string={' '.join(behaviour)}"
    return f'options = ["--snapshot", "-fw_cfg", "{name}"]'


def unit(*lines: str, name: str = "hurd-vm") -> str:
    """Return keys of the machine's own service."""
    return "\n".join([f"[service.{name}]", *lines, ""])


@contextmanager
def stand_in(*lines: str, more: str = "") -> Iterator[StandIn]:
    """Yield a host file with one machine; `lines` are of its table, `more` follows that."""
    with network() as net, host("", settings='networking = "assume"', prefix=net.prefix) as made:
        found = StandIn(made, net)
        made.write(found.table(*lines) + more)
        yield found


def await_rung(daemon: Daemon, rung: str, name: str = "hurd-vm") -> Json:
    """Return the status once the machine says that it has reached a rung."""
    pattern = re.compile(rf"reached [a-z, ]*\b{rung}\b")
    return daemon.await_status(
        name, lambda s: pattern.search(s["status_text"]), f"{name} at {rung}", seconds=BOOT_SECONDS
    )


def await_ready(daemon: Daemon, name: str = "hurd-vm") -> int:
    """Return the pid of its QEMU once the machine counts as running."""
    found = daemon.await_status(
        name,
        lambda s: s["state"] == "running" or s["failed"],
        f"{name} running",
        seconds=BOOT_SECONDS,
    )
    assert found["state"] == "running", found
    return int(found["pid"])


def rungs(made: Host, name: str = "hurd-vm") -> set[str]:
    """Return the rungs that a machine has left files of."""
    return {file.name for file in (made.run_dir / f"machines/{name}").glob("rung-*")}


def command_line(pid: int) -> Sequence[str]:
    """Return the arguments that a process was started with."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]


def await_console(made: Host, text: str, *, name: str = "hurd-vm", count: int = 1) -> None:
    """Return once the guest has said something on its console so many times."""
    eventually(lambda: made.log(name).count(text) >= count, text, seconds=BOOT_SECONDS)


def last_exit(daemon: Daemon, name: str = "hurd-vm") -> str:
    """Return how the machine ended last, in words."""
    return str(daemon.status(name)["exits"][0]["text"])
