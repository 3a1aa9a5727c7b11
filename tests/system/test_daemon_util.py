"""Ganeti's daemon-util as it is installed, against a real virtsupd with services named as the daemons are."""

import os
import resource
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.daemon import PYTHON, Daemon, Host, host

from virtsupd.ganeti.rendering import rendering

pytestmark = pytest.mark.process

EVERYWHERE = ("noded", "confd", "kvmd", "mond")
MASTERS = ("wconfd", "rapi", "luxid")
RUNS = "trap 'echo HUP' HUP; echo up; while :; do sleep 1000 & wait; done"
CALLS = 20
MOST_CPU_SECONDS = 0.030
"""Over a bare interpreter; 3 ms are usual."""


@dataclass(slots=True)
class Node:
    """A node of Ganeti: virtsupd, and the program in the place of daemon-util."""

    daemon: Daemon
    program: Path

    def runs(
        self, *words: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Call it as Ganeti does: in /, and with nothing in the environment but what is given."""
        return subprocess.run(
            [self.program, *words],
            env={"LC_ALL": "C", **(environment or {})},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=15,
            check=False,
        )

    def code(self, *words: str) -> int:
        return self.runs(*words).returncode

    def states(self) -> dict[str, str]:
        services = self.daemon.call("Status", names=[])["services"]
        prefix = "ganeti-"
        return {
            one["name"].removeprefix(prefix): one["state"]
            for one in services
            if one["name"].startswith(prefix)
        }

    def arguments(self, name: str) -> list[str]:
        """Return what a daemon was started with behind what is configured."""
        pid = self.daemon.pid(f"ganeti-{name}")
        line = Path(f"/proc/{pid}/cmdline").read_text().removesuffix("\0").split("\0")
        return line[line.index(name) + 1 :]


def service(name: str, script: str = RUNS, *keys: str) -> str:
    lines = (f"[service.ganeti-{name}]", f'command = ["/bin/sh", "-c", "{script}", "{name}"]')
    ends = ("success_exit = [200]", "not_needed_exit = [0, 11]", "autostart = false")
    ready = 'ready = { kind = "log-line", pattern = "up" }'
    return "\n".join((*lines, ready, *ends, *keys, ""))


def all_daemons(**scripts: str) -> str:
    names = (*EVERYWHERE, *MASTERS, "metad")
    return "".join(service(name, scripts.get(name, RUNS)) for name in names)


@contextmanager
def node(services: str, *, ssh: str = "") -> Iterator[Node]:
    with host() as made:
        made.write(services.replace("ROOT", str(made.root)))
        program = installed(made, ssh)
        with made.started() as daemon:
            yield Node(daemon, program)


def installed(made: Host, ssh: str) -> Path:
    program = made.root / "daemon-util"
    program.write_text(rendering(str(made.socket), ssh, interpreter=PYTHON))
    program.chmod(0o755)
    return program


def test_what_is_for_one_run_reaches_that_run_alone() -> None:
    with node(service("wconfd")) as found:
        extra = {"EXTRA_WCONFD_ARGS": "--no-voting --yes-do-it"}
        assert (
            found.runs("start", "ganeti-wconfd", "--force-node", environment=extra).returncode == 0
        )
        given = ["--no-voting", "--yes-do-it", "--force-node"]
        eventually(lambda: found.arguments("wconfd") == given, "a process with them")
        os.kill(found.daemon.pid("ganeti-wconfd"), signal.SIGKILL)
        found.daemon.await_status("ganeti-wconfd", lambda s: s["restarts"] and s["pid"], "respawn")
        eventually(lambda: found.arguments("wconfd") == [], "a process without them")
        assert found.code("stop", "ganeti-wconfd") == 0
        assert found.code("start", "ganeti-wconfd") == 0
        eventually(lambda: found.arguments("wconfd") == [], "a process without them")


def test_on_a_node_that_is_not_the_master_all_but_the_masters_daemons_come_up_and_go() -> None:
    leaves = dict.fromkeys(MASTERS, "exit 11")
    with node(all_daemons(**leaves)) as found:
        assert found.code("start-all") == 0
        up = {name for name, state in found.states().items() if state == "running"}
        assert up == {*EVERYWHERE}
        assert found.code("stop-all") == 0
        assert set(found.states().values()) == {"stopped"}
        assert found.code("stop-all") == 0


def test_the_exit_code_of_one_that_ends_before_it_is_ready_is_the_answer() -> None:
    with node(
        service("luxid", "exit 11") + service("kvmd", "exit 0") + service("noded", "exit 3")
    ) as found:
        assert found.code("start", "ganeti-luxid") == 11
        assert found.code("start-master") == 1, "there is no wconfd"
        assert found.code("start", "ganeti-kvmd") == 0
        done = found.runs("start", "ganeti-noded")
        assert done.returncode == 3
        assert "exited with code 3" in done.stderr


def test_the_master_comes_up_and_goes() -> None:
    with node(all_daemons()) as found:
        assert found.code("start-master") == 0
        assert {n for n, state in found.states().items() if state == "running"} == {*MASTERS}
        assert [found.code("check", f"ganeti-{name}") for name in ("luxid", "noded")] == [0, 1]
        assert found.code("stop-master") == 0
        assert set(found.states().values()) == {"stopped"}
        assert found.code("check-and-start", "ganeti-noded") == 0
        pid = found.daemon.pid("ganeti-noded")
        assert found.code("check-and-start", "ganeti-noded") == 0
        assert found.daemon.pid("ganeti-noded") == pid


def test_a_start_without_the_files_of_a_cluster_is_answered_and_one_later_finds_them() -> None:
    config = '[service.config]\nready = { kind = "path", path = "ROOT/config.data" }\n'
    needs = 'requires = ["config"]'
    with node(config + service("wconfd", RUNS, needs) + service("confd", RUNS, needs)) as found:
        waits = found.runs("start", "ganeti-wconfd", "--force-node")
        assert waits.returncode == 11
        assert "ganeti-wconfd waits for config" in waits.stderr
        assert found.code("start", "ganeti-confd") == 1
        (found.daemon.host.root / "config.data").touch()
        found.daemon.await_state("ganeti-wconfd", "running")
        assert found.arguments("wconfd") == [], "who had asked for it had gone"


def test_hup_goes_to_daemons_in_python_and_to_no_others() -> None:
    reload = 'reload = { signal = "SIGHUP" }'
    with node(service("noded", RUNS, reload) + service("confd", RUNS, reload)) as found:
        for name in ("noded", "confd"):
            assert found.code("start", f"ganeti-{name}") == 0
        assert found.code("rotate-all-logs") == 0
        assert found.code("rotate-logs", "ganeti-confd") == 0
        found.daemon.host.await_log("ganeti-noded", "HUP")
        assert found.daemon.host.log("ganeti-confd") == "up\n"


def test_the_ssh_server_that_was_named_is_told() -> None:
    sshd = service("noded", RUNS, 'reload = { signal = "SIGHUP" }').replace("ganeti-noded", "sshd")
    with node(sshd, ssh="sshd") as found:
        found.daemon.ctl("start", "sshd")
        pid = found.daemon.pid("sshd")
        assert found.code("reload-ssh-keys") == 0
        found.daemon.host.await_log("sshd", "HUP")
        assert found.daemon.pid("sshd") == pid


def test_over_a_reexec_it_is_the_next_program_that_answers() -> None:
    with node(service("noded")) as found:
        found.daemon.ctl("reexec")
        assert found.code("start", "ganeti-noded") == 0
        assert found.code("check", "ganeti-noded") == 0


def test_without_virtsupd_nothing_is_started_and_the_message_says_why() -> None:
    with host() as made:
        program = installed(made, "")
        done = subprocess.run(
            [program, "start", "ganeti-noded"], env={}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert f"cannot be reached at {made.socket}" in done.stderr


def test_it_is_quick() -> None:
    with node(service("noded")) as found:
        assert found.code("start", "ganeti-noded") == 0
        bare = cpu_seconds(PYTHON, "-I", "-S", "-c", "pass")
        check = cpu_seconds(str(found.program), "check", "ganeti-noded")
        assert check - bare < MOST_CPU_SECONDS


def cpu_seconds(*command: str) -> float:
    """Return the least time of the processor that a command takes."""
    took = []
    for _ in range(CALLS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(took)
