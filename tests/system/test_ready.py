"""Every kind of readiness, on a real service; and an early death ends the wait at once."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.daemon import host, python, shell, virtsupd

pytestmark = pytest.mark.process

NC = "import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()"


def many(*words: str) -> str:
    return python("svc_many.py", *words)


SERVER = """
import http.server, pathlib, socketserver, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
server = socketserver.TCPServer(("127.0.0.1", 0), Page)
pathlib.Path(sys.argv[1]).write_text(str(server.server_address[1]))
server.serve_forever()
"""

KINDS: dict[str, tuple[Callable[[Path], str], Callable[[Path], str]]] = {
    "none": (lambda _: many(), lambda _: '"none"'),
    "notify": (lambda _: many("ready"), lambda _: '"notify"'),
    "fd": (
        lambda _: many("newline", "READY_FD"),
        lambda _: '{ kind = "fd", variable = "READY_FD" }',
    ),
    "fd by number": (lambda _: many("newline", "7"), lambda _: '{ kind = "fd", fd = 7 }'),
    "pid-file": (
        lambda root: many("pid-file", f"{root}/pid"),
        lambda root: f'{{ kind = "pid-file", path = "{root}/pid" }}',
    ),
    "socket": (
        lambda root: many("listen", f"{root}/s"),
        lambda root: f'{{ kind = "socket", path = "{root}/s" }}',
    ),
    "exec": (
        lambda root: shell(f"touch {root}/up; exec sleep 1000"),
        lambda root: f'{{ kind = "exec", command = ["/usr/bin/test", "-e", "{root}/up"] }}',
    ),
    "log-line": (
        lambda _: many("say", "serving on 5"),
        lambda _: '{ kind = "log-line", pattern = "^serving on [0-9]" }',
    ),
    "path": (
        lambda root: shell(f"touch {root}/up; exec sleep 1000"),
        lambda root: f'{{ kind = "path", path = "{root}/up" }}',
    ),
    "mount": (lambda _: many(), lambda _: '{ kind = "mount", path = "/proc" }'),
}


def test_each_kind_holds_for_a_service_that_keeps_it() -> None:
    with host() as made:
        tables = [
            f'[service."{kind.replace(" ", "-")}"]\ncommand = {command(made.root / str(n))}\n'
            f"ready = {ready(made.root / str(n))}\n"
            for n, (kind, (command, ready)) in enumerate(KINDS.items())
        ]
        for number in range(len(KINDS)):
            (made.root / str(number)).mkdir()
        made.write("\n".join(tables))
        with made.started() as daemon:
            for kind in KINDS:
                daemon.await_state(kind.replace(" ", "-"), "running")
            pid = int((made.root / str(list(KINDS).index("pid-file")) / "pid").read_text())
            assert daemon.pid("pid-file") == pid
            assert daemon.status("notify")["status_text"] == "at work"


def test_each_kind_waits_for_a_service_that_does_not_keep_it() -> None:
    with host() as made:
        probes = {
            "notify": "",
            "fd": "",
            "pid-file": f'path = "{made.root}/pid"',
            "socket": f'path = "{made.root}/s"',
            "tcp": "port = 1",
            "banner": f'path = "{made.root}/s", expect = "^OK"',
            "http": 'url = "http://127.0.0.1:1/"',
            "exec": 'command = ["/bin/false"]',
            "log-line": 'pattern = "serving"',
            "path": f'path = "{made.root}/up"',
            "mount": f'path = "{made.root}"',
        }
        made.write(
            "\n".join(
                f'[service."{kind}"]\ncommand = {many()}\nrespawn = false\n'
                f'ready = {{ kind = "{kind}", {keys}{"," if keys else ""} timeout = "400ms" }}'
                for kind, keys in probes.items()
            )
        )
        with made.started() as daemon:
            for kind in probes:
                found = daemon.await_status(kind, lambda s: s["failed"], "its deadline")
                assert "not ready within 0.4 s" in found["reason"]["text"], kind
                assert found["pid"] is None
            assert "nobody listens" in daemon.reason("socket") or "does not exist" in daemon.reason(
                "socket"
            )


def test_ports_are_asked_for_what_they_say() -> None:
    with host() as made:
        server = json.dumps(["/usr/bin/python3", "-c", SERVER, f"{made.root}/port"])
        first = f'[service.server]\ncommand = {server}\nready = {{ kind = "path", path = "{made.root}/port" }}\n'
        made.write(first)
        with made.started() as daemon:
            daemon.await_state("server", "running")
            port = eventually((made.root / "port").read_text, "a port")
            watched = "\n".join(
                f'[service.{kind}]\ncommand = {many()}\nready = {{ kind = "{kind}", {keys} }}\n'
                for kind, keys in {
                    "tcp": f"port = {port}",
                    "http": f'url = "http://127.0.0.1:{port}/ok"',
                    "banner": f'port = {port}, expect = "HTTP/1.0 200", send = "GET / HTTP/1.0\\r\\n\\r\\n"',
                }.items()
            )
            made.write(first + watched)
            daemon.ctl("reload")
            for kind in ("tcp", "http", "banner"):
                daemon.await_state(kind, "running")


@pytest.mark.parametrize("ready", ["notify", "fd", "socket", "tcp", "exec", "log-line", "path"])
def test_an_early_death_ends_the_wait_at_once(ready: str) -> None:
    keys = {
        "socket": ', path = "/nonexistent/s"',
        "tcp": ", port = 1",
        "exec": ', command = ["/bin/false"]',
        "log-line": ', pattern = "x"',
        "path": ', path = "/nonexistent/p"',
    }.get(ready, "")
    services = (
        f"[service.web]\ncommand = {many('exit', '3')}\nrespawn = false\n"
        f'ready = {{ kind = "{ready}", timeout = 0{keys} }}\n'
    )
    with virtsupd(services) as daemon:
        found = daemon.await_status("web", lambda s: s["failed"], "its failure")
        assert found["reason"]["text"] == "exited with code 3 before it was ready"


def test_a_dependent_starts_when_what_it_needs_is_ready_and_not_before() -> None:
    with host() as made:
        made.write(
            f"""
[service.front]
command = {shell(f"test -e {made.root}/usable && echo in time; exec sleep 1000")}
requires = ["back"]
[service.back]
command = {shell(f"while ! test -e {made.root}/go; do sleep 0.02; done; touch {made.root}/usable; exec sleep 1000")}
ready = {{ kind = "path", path = "{made.root}/usable" }}
"""
        )
        with made.started() as daemon:
            assert daemon.state("back") == "starting"
            assert daemon.reason("back").startswith("waits until ready (path)")
            assert daemon.reason("front") == "waits for back (starting)"
            (made.root / "go").touch()
            daemon.await_state("front", "running")
            made.await_log("front", "in time")


def test_a_wrapper_may_keep_the_process_of_its_pid_file() -> None:
    """The leader is another process's child: its end is seen all the same."""
    with host() as made:
        made.write(
            f"[service.web]\ncommand = {many('wrap', f'{made.root}/pid')}\nrespawn = false\n"
            f'ready = {{ kind = "pid-file", path = "{made.root}/pid" }}\n'
        )
        with made.started() as daemon:
            daemon.await_state("web", "running")
            pid = int((made.root / "pid").read_text())
            assert daemon.pid("web") == pid
            os.kill(pid, 9)
            found = daemon.await_status("web", lambda s: s["failed"], "its failure")
            assert made.cgroup().pids() == ()  # type: ignore[union-attr]  # there is one here
            assert found["pid"] is None


def test_ready_is_believed_from_the_service_alone() -> None:
    with virtsupd(f'[service.web]\ncommand = {many()}\nready = "notify"\n') as daemon:
        path = daemon.host.run_dir / "notify/web"
        line = f'import socket; socket.socket(1, 2).sendto(b"READY=1", "{path}")'
        stranger = os.posix_spawn("/usr/bin/python3", ["python3", "-c", line], {}, setsid=True)
        os.waitpid(stranger, 0)
        daemon.ask("Disable", "web")  # one turn later
        assert daemon.state("web") == "starting"


def test_a_condition_holds_when_the_host_is_so_and_has_a_deadline() -> None:
    with host() as made:
        made.write(
            f"""
[service.disk]
description = "the disk is there"
ready = {{ kind = "path", path = "{made.root}/disk" }}
[service.never]
ready = {{ kind = "path", path = "{made.root}/never", timeout = "50ms" }}
respawn = false
[service.late]
requires = ["never"]
[service.web]
command = {many()}
requires = ["disk"]
[service.site]
requires = ["web"]
"""
        )
        with made.started() as daemon:
            assert daemon.state("site") == "stopped"
            assert daemon.reason("disk").startswith("waits until ready (path)")
            (made.root / "disk").touch()
            daemon.await_state("site", "running")
            found = daemon.await_status("never", lambda s: s["failed"], "its failure")
            assert "not ready within 0.05 s" in found["reason"]["text"]
            before = daemon.status("web")["pid"]
            (made.root / "disk").unlink()
            daemon.await_state("disk", "starting")
            assert daemon.status("web")["pid"] == before
            [fell] = daemon.await_event("condition fell", service="disk")
            assert f"{made.root}/disk does not exist" in fell["reason"]
            daemon.await_status("web", lambda s: s["reason"], "that it runs without what it needs")
            os.kill(before, signal.SIGKILL)
            daemon.await_state("web", "stopped")
            daemon.await_status(
                "web", lambda s: "disk (starting)" in s["reason"]["text"], "that it waits"
            )
            (made.root / "disk").touch()
            daemon.await_state("site", "running")
            assert daemon.ctl("stop", "site", "disk").returncode == 0
            assert daemon.state("web") == "running"
