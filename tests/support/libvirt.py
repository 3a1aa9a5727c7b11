"""virtsupd with real virtlogd and libvirtd, in namespaces of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.checks import eventually
from tests.support.namespaces import (
    COMMAND_SECONDS,
    Namespaces,
    cgroups_named,
    isolated,
    remove_cgroup,
)

COMMANDS = Path(sys.executable).parent

_CONFIGURATION = """
[host]
run_dir = "{shared}/run"
state_dir = "{shared}/state"
log_dir = "{shared}/log"
socket = "{shared}/control"
unit_dirs = []
cgroup = "{cgroup}"
on_term = "shutdown"

[virtlog]
"""


@dataclass(frozen=True, slots=True)
class LibvirtHost:
    """A host that virtsupd supervises: virtlogd and libvirtd."""

    namespaces: Namespaces
    cgroup: str

    def control(
        self, *arguments: str, is_ok: bool = True, seconds: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run virtsupctl, from outside the namespaces.

        Raises:
            AssertionError: it failed although `is_ok`.
        """
        socket = str(self.namespaces.shared / "control")
        done = subprocess.run(
            [str(COMMANDS / "virtsupctl"), "--socket", socket, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        seen = f"{arguments}: {done.stdout}{done.stderr}"
        assert not is_ok or done.returncode == 0, f"{seen}\n{self.namespaces.output[-4000:]}"
        return done

    def status(self, name: str) -> dict[str, Any]:
        """Return what `status --json` says of one service."""
        done = self.control("--json", "status", name, is_ok=False)
        [service] = json.loads(done.stdout)["services"]
        return dict(service)

    def daemon_pid(self) -> int:
        """Return virtsupd's own pid, inside."""
        done = self.control("--json", "status")
        return int(json.loads(done.stdout)["daemon"]["pid"])

    def pid(self, name: str) -> int:
        """Return the pid, inside, of a service that is running."""
        return int(self.status(name)["pid"])

    def await_running(self, *names: str) -> None:
        """Return once all of them are ready."""
        socket = self.namespaces.shared / "control"
        eventually(socket.is_socket, "a control socket")
        self.control("wait", "--state", "running", *names)

    def await_replacement(self, name: str, of: int) -> None:
        """Return once `name` runs as another process than `of`, and is ready."""

        def is_another() -> bool:
            service = self.status(name)
            return service["state"] == "running" and service["pid"] not in {None, of}

        eventually(is_another, f"another {name} than pid {of}")

    def virsh(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> str:
        """Run virsh inside and return what it printed."""
        return self.namespaces.run("virsh", "--quiet", *arguments, seconds=seconds).stdout.strip()


@contextmanager
def libvirt_host(
    shared: Path, *, is_first: bool = False, tables: str = "[libvirt]\n"
) -> Iterator[LibvirtHost]:
    """Run virtsupd over virtlogd and libvirtd until the end of the context.

    `tables` follow `[virtlog]`. It has just been started when the context begins; nothing of it is left when it ends.
    """
    cgroup = f"virtsupd-test-{os.getpid()}-{shared.name}"
    shared.mkdir(parents=True, exist_ok=True)
    configuration = shared / "host.toml"
    configuration.write_text(_CONFIGURATION.format(shared=shared, cgroup=cgroup) + tables)
    program = [str(COMMANDS / "virtsupd"), "--config", str(configuration)]
    try:
        with isolated(program, shared=shared, is_first=is_first) as namespaces:
            yield LibvirtHost(namespaces, cgroup)
    finally:
        for tree in cgroups_named(cgroup):
            remove_cgroup(tree)


@contextmanager
def successor(host: LibvirtHost) -> Iterator["subprocess.Popen[bytes]"]:
    """Run another virtsupd on the same host."""
    program = [str(COMMANDS / "virtsupd"), "--config", str(host.namespaces.shared / "host.toml")]
    enter = ["nsenter", "--target", str(host.namespaces.first), "--mount", "--net", "--pid"]
    with (host.namespaces.shared / "output").open("ab") as output:
        process = subprocess.Popen(
            [*enter, "--root", "--wd", "--", *program], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(COMMAND_SECONDS)
