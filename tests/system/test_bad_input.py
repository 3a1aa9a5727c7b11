"""Bad input costs its sender, nobody else: each has a message, and nothing else is disturbed."""

import contextlib
import json
import os
import resource
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.daemon import Daemon, Host, host, python, shell, virtsupd

pytestmark = pytest.mark.process

SLEEP = shell("exec sleep 1000")
GOOD = f"[service.good]\ncommand = {SLEEP}\n"


def service(name: str, *keys: str, command: str = SLEEP) -> str:
    return "\n".join((f"[service.{name}]", f"command = {command}", *keys, ""))


REFUSED = {
    "unknown key": (service("web", "colour = 1"), "service.web.colour: unknown"),
    "wrong type": (
        service("web", "nice = 'much'"),
        'service.web.nice: found "much", must be a whole number',
    ),
    "cycle": (
        service("a", 'requires = ["b"]') + service("b", 'requires = ["a"]'),
        "a → b → a",
    ),
    "missing requirement": (service("web", 'requires = ["nobody-there"]'), "nobody-there"),
    "double name": (
        service("web", 'provides = ["web", "www"]') + service("www"),
        "www",
    ),
    "no TOML": ("[service.web\n", "expected ']' at the end of a table declaration"),
    "descriptor taken": (
        service("web", 'ready = { kind = "fd", fd = 3 }', 'sockets = ["@virtsupd-test"]'),
        "service.web.ready.fd: found 3, must be above 3",
    ),
    "socket path too long": (service("web", f'sockets = ["/{"x" * 120}"]'), "107"),
}


@pytest.mark.parametrize(("text", "says"), REFUSED.values(), ids=REFUSED)
def test_a_bad_file_is_refused_with_its_place_and_what_is_wrong(text: str, says: str) -> None:
    with host(text) as made:
        checked = made.run("--check")
        assert checked.returncode == 2
        assert says in checked.stderr
        assert str(made.config) in checked.stderr
        assert "is refused: " in checked.stderr
        # A start says the same, and nothing was made.
        assert made.run().stderr == checked.stderr
        assert not made.run_dir.exists()


@pytest.mark.parametrize(("text", "says"), REFUSED.values(), ids=REFUSED)
def test_a_bad_file_changes_nothing_of_a_running_virtsupd(
    running: Daemon, text: str, says: str
) -> None:
    before = running.status("good")
    running.host.write(GOOD + text)
    refused = running.ctl("reload", expect=2)
    assert says in refused.stderr
    assert running.status("good") == before


@pytest.fixture(scope="module")
def running() -> Iterator[Daemon]:
    with virtsupd(GOOD) as daemon:
        yield daemon


def test_every_problem_is_named_not_the_first_one() -> None:
    with host(service("web", "colour = 1", "nice = 99")) as made:
        checked = made.run("--check")
        assert "service.web.colour" in checked.stderr
        assert "service.web.nice" in checked.stderr
        assert "2 problems" in checked.stderr


def test_a_file_that_is_not_there_or_is_none() -> None:
    with host() as made:
        made.config.unlink()
        assert "No such file" in made.run("--check").stderr
        made.config.mkdir()
        assert made.run("--check").returncode == 2
        made.config.rmdir()
        made.write("")


def test_an_unreadable_file() -> None:
    """Without the right to read everything, since root has it otherwise."""
    with host(GOOD) as made:
        os.chown(made.config, 65534, 65534)
        made.config.chmod(0o600)
        caps = "-dac_override,-dac_read_search"
        made.prefix = ("setpriv", f"--bounding-set={caps}", f"--inh-caps={caps}")
        refused = made.run("--check")
        assert refused.returncode == 2
        assert f"{made.config}: " in refused.stderr
        assert "Permission denied" in refused.stderr


FAILING = {
    "missing program": (
        service("bad", command='["/nonexistent/program"]'),
        "program: cannot run /nonexistent/program: no such program",
    ),
    "not in the path": (
        service("bad", command='["no-such-program-at-all"]'),
        "not found in PATH",
    ),
    "unknown user": (service("bad", 'user = "nobody-there"'), "nobody-there"),
    "unknown group": (service("bad", 'group = "nobody-there"'), "nobody-there"),
    "missing directory": (
        service("bad", 'directory = "/nonexistent"'),
        "directory: cannot enter directory /nonexistent: No such file or directory; mkdir -p /nonexistent",
    ),
    "missing environment file": (
        service("bad", 'environment_file = ["/nonexistent/env"]'),
        "/nonexistent/env",
    ),
    "no program": (service("bad", command='["/etc/passwd"]'), "it is not executable"),
}


@pytest.mark.parametrize(("text", "says"), FAILING.values(), ids=FAILING)
def test_a_service_that_cannot_be_started_fails_at_once_and_alone(
    running: Daemon, text: str, says: str
) -> None:
    pid = running.pid("good")
    running.host.write(GOOD + text)
    running.ctl("reload")
    found = running.await_status("bad", lambda s: s["failed"], "its failure")
    assert says in found["reason"]["text"]
    assert found["restarts"] == 0
    shown = running.ctl("start", "bad", expect=1)
    assert says.partition(": ")[2] in shown.stdout + shown.stderr
    assert running.pid("good") == pid
    running.host.write(GOOD)
    running.ctl("reload")


def test_a_port_that_is_taken_is_named_with_its_holder(running: Daemon) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = service("bad", f'sockets = ["127.0.0.1:{port}"]', "respawn = false")
        running.host.write(GOOD + text)
        running.ctl("reload")
        found = running.await_status("bad", lambda s: s["failed"], "its failure")
        assert f"port {port} is already in use by" in found["reason"]["text"]
        assert str(os.getpid()) in found["reason"]["text"]
    # Its holder is gone: a command starts it.
    assert running.ask("Start", "bad")[0] == "done"
    running.host.write(GOOD)
    running.ctl("reload")


def test_somebody_elses_socket_is_left_alone(running: Daemon) -> None:
    path = running.host.root / "theirs.sock"
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(path))
        theirs.listen()
        running.host.write(GOOD + service("bad", f'sockets = ["{path}"]', "respawn = false"))
        running.ctl("reload")
        found = running.await_status("bad", lambda s: s["failed"], "its failure")
        assert "already in use" in found["reason"]["text"]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    running.host.write(GOOD)
    running.ctl("reload")


@pytest.mark.parametrize("kind", ["too long", "somebody else's", "no socket"])
def test_a_control_socket_that_cannot_be_had(kind: str) -> None:
    with host(GOOD) as made, contextlib.ExitStack() as stack:
        path = made.root / "own.sock"
        if kind == "too long":
            path = made.root / ("x" * 120)
        elif kind == "no socket":
            path.write_text("precious")
        else:
            theirs = stack.enter_context(socket.socket(socket.AF_UNIX))
            theirs.bind(str(path))
            theirs.listen()
        made.settings += f'socket = "{path}"\n'
        made.write(GOOD)
        refused = made.run()
        assert refused.returncode in (1, 2)
        assert str(path)[:40] in refused.stderr
        assert "Traceback" not in refused.stderr
        if kind == "no socket":
            assert path.read_text() == "precious"
        remove_traces(made)


def remove_traces(made: Host) -> None:
    """Let a virtsupd that may run remove what a refused one has made in the run directory."""
    made.settings = "\n".join(x for x in made.settings.splitlines() if "socket" not in x) + "\n"
    made.write("")
    with made.started():
        pass


def test_a_run_directory_that_cannot_be_written() -> None:
    with host(GOOD) as made:
        blocker = made.root / "file"
        blocker.write_text("")
        for key in ("run_dir", "state_dir", "log_dir"):
            made.write("")
            text = made.config.read_text().splitlines()
            lines = [f'{key} = "{blocker}/below"' if x.startswith(key) else x for x in text]
            made.config.write_text("\n".join(lines) + "\n")
            refused = made.run()
            assert refused.returncode == 1
            assert str(blocker) in refused.stderr
            assert "check the directories in [host]" in refused.stderr
            assert "Traceback" not in refused.stderr
        made.write("")
        with made.started():
            pass


PIDS = Path("/sys/fs/cgroup/pids")


def test_a_fork_that_fails_is_tried_again_and_told() -> None:
    """A pids cgroup forbids more processes; when it does not any more, the service starts."""
    if not (PIDS / "cgroup.procs").exists():  # pragma: no cover - a host with v2 controllers
        pytest.skip("no pids controller of cgroup v1 here")
    group = PIDS / f"virtsupd-test-{os.urandom(4).hex()}"
    group.mkdir()
    try:
        with virtsupd(
            GOOD + service("late", "autostart = false", 'respawn = { delay = "20ms", limit = 0 }')
        ) as daemon:
            pid = daemon.pid("good")
            for task in Path(f"/proc/{daemon.process.pid}/task").iterdir():
                (group / "cgroup.procs").write_text(task.name)
            (group / "pids.max").write_text("1")
            with contextlib.suppress(TimeoutError):
                client = daemon.client
                client.timeout = 0.2
                client.call("Start", {"names": ["late"]})
            found = daemon.await_status("late", lambda s: s["restarts"] > 1, "another try")
            assert found["state"] in ("stopped", "starting")
            assert daemon.pid("good") == pid
            (group / "pids.max").write_text("max")
            daemon.await_state("late", "running")
    finally:
        eventually(lambda: not (group / "cgroup.procs").read_text(), "an empty cgroup")
        group.rmdir()


def test_a_full_disk_costs_lines_and_says_so() -> None:
    """The log lies on a tiny file system in a mount namespace of virtsupd's own."""
    with host() as made:
        log = made.root / "log"
        log.mkdir()
        line = f'mount -t tmpfs -o size=64k none {log} && exec "$@"'
        made.prefix = ("unshare", "--mount", "sh", "-c", line, "sh")
        flood = shell(
            "i=0; while test $i -lt 3000; do echo $i is a line of output; i=$((i+1)); done; echo over; exec sleep 1000"
        )
        made.write(GOOD + service("loud", command=flood))
        with made.started() as daemon:
            found = daemon.await_status(
                "loud", lambda s: s["reason"] and s["reason"]["kind"] == "degraded", "trouble"
            )
            assert "No space left on device" in found["reason"]["text"]
            assert found["state"] == "running"
            assert daemon.status("good")["reason"] is None
            daemon.await_event("output lost", service="loud")


def test_a_state_that_cannot_be_written_is_told_and_ends_nothing() -> None:
    with virtsupd(GOOD) as daemon:
        state = daemon.host.state_file
        shutil.rmtree(state.parent)
        state.parent.write_text("a file where the directory was")
        assert daemon.ask("Stop", "good")[0] == "done"
        daemon.await_event("what is wanted could not be written down")
        warnings = daemon.call("Status", names=[])["daemon"]["warnings"]
        assert any("could not be written down" in warning for warning in warnings)
        state.parent.unlink()
        state.parent.mkdir()
        assert daemon.ask("Start", "good")[0] == "done"
        wanted = json.loads((state.parent / "wanted.json").read_text())
        assert wanted["services"]["good"] is True
        assert daemon.call("Status", names=[])["daemon"]["warnings"] == []


def test_what_the_kernel_denies_is_a_warning() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with host(service("web", f"limits = {{ nofile = {hard * 2} }}")) as made:
        made.prefix = ("setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource")
        with made.started() as daemon:
            found = daemon.await_state("web", "running")
            assert len(found["warnings"]) == 1
            assert "nofile" in found["warnings"][0]


def test_a_service_that_floods_its_notify_socket_costs_itself() -> None:
    with virtsupd(
        GOOD
        + service(
            "loud",
            'ready = { kind = "notify" }',
            command=json.dumps(["/usr/bin/python3", "-c", FLOOD]),
        )
    ) as daemon:
        daemon.await_state("loud", "running")
        for _ in range(20):
            assert daemon.state("good") == "running"


FLOOD = """
import os, socket
s = socket.socket(1, 2)
s.connect(os.environ["NOTIFY_SOCKET"])
s.send(b"READY=1")
while True:
    s.send(b"STATUS=" + os.urandom(50).hex().encode())
    s.send(bytes(range(256)))
"""


def test_a_name_of_any_allowed_kind_works() -> None:
    name = "a/b@c:d+é%.x" if False else "a/b@c:d+e.x"
    with virtsupd(
        f'[service."{name}"]\ncommand = {python("svc_many.py", "ready")}\nready = "notify"\n'
    ) as daemon:
        daemon.await_state(name, "running")
        assert daemon.host.log("a%2Fb@c:d+e.x") == ""
        daemon.ctl("stop", name)
