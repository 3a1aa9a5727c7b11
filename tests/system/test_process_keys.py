"""Every key of [service.*] that makes the process has its effect on a real child."""

import json
import os
import pwd
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.support.checks import eventually
from tests.support.daemon import Daemon, Host, host, python, shell, virtsupd

pytestmark = pytest.mark.process

REPORT = f"[service.web]\ncommand = {python('svc_report.py')}\n"
NOBODY = pwd.getpwnam("nobody")


def report_of(daemon: Daemon, name: str = "web") -> dict[str, Any]:
    """Return what svc_report.py printed."""
    line = daemon.host.await_log(name, "\n").splitlines()[-1]
    return dict(json.loads(line))


def test_a_service_with_no_keys_has_the_defaults() -> None:
    with virtsupd(REPORT) as daemon:
        found = report_of(daemon)
        assert found["pid"] == found["session"] == daemon.pid("web")
        assert found["uid"] == [0, 0, 0]
        assert found["directory"] == "/"
        assert found["descriptors"] == [0, 1, 2]
        assert found["no_new_privileges"] == "0"
        names = set(found["environment"])
        assert {"PATH", "LANG"} <= names
        assert "NOTIFY_SOCKET" not in names
        assert "LISTEN_FDS" not in names


def test_every_key_of_the_process_reaches_it() -> None:
    with host() as made:
        (made.root / "home").mkdir(mode=0o777)
        (made.root / "home").chmod(0o777)
        (made.root / "web.env").write_text("FROM_FILE=yes\nLANG=C\n")
        made.write(
            f"""{REPORT}
user = "nobody"
group = "daemon"
supplementary_groups = ["adm", "tty"]
directory = "{made.root}/home"
umask = "027"
environment = {{ COLOUR = "blue", SVC_MAKES = "made" }}
environment_file = ["{made.root}/web.env", "-{made.root}/missing.env"]
limits = {{ nofile = [100, 200], core = 0 }}
capabilities = ["CAP_NET_BIND_SERVICE"]
no_new_privileges = true
oom_score_adjust = 321
nice = 7
"""
        )
        with made.started() as daemon:
            found = report_of(daemon)
            assert found["uid"] == [NOBODY.pw_uid] * 3
            assert found["gid"] == [1, 1, 1]
            assert set(found["group_names"]) >= {"adm", "tty"}
            assert found["directory"] == f"{made.root}/home"
            assert found["made_mode"] == 0o777 & ~0o027
            assert found["environment"]["COLOUR"] == "blue"
            assert found["environment"]["FROM_FILE"] == "yes"
            assert found["environment"]["HOME"] == NOBODY.pw_dir
            assert found["environment"]["USER"] == "nobody"
            assert found["nofile"] == [100, 200]
            assert found["core"] == [0, 0]
            assert found["capabilities"] == found["bounding"] == 1 << 10
            assert found["no_new_privileges"] == "1"
            assert found["oom"] == 321
            assert found["nice"] == 7
            assert daemon.status("web")["warnings"] == []


def test_nothing_is_inherited_from_virtsupd() -> None:
    with host(REPORT) as made, made.started(environment={"SECRET": "x"}) as daemon:
        assert "SECRET" not in report_of(daemon)["environment"]


def test_a_service_is_born_in_its_cgroup() -> None:
    with virtsupd(REPORT) as daemon:
        assert report_of(daemon)["cgroup"].splitlines()[-1].endswith("/web.service")


def test_clients_that_came_before_the_service_are_served() -> None:
    with host() as made:
        path = made.root / "web.sock"
        made.write(
            f"""
[service.web]
command = {python("svc_many.py", "serve", "hello")}
autostart = false
sockets = [{{ listen = "{path}", name = "front", mode = "0640", group = "adm" }},
           {{ listen = "@{path}", name = "back" }}]
[service.gate]
command = {shell(f"test -S {path}")}
one_shot = true
requires = ["web"]
autostart = false
"""
        )
        with made.started() as daemon:
            daemon.ask("Start", "web")
            made.await_log("web", "listen 2 front:back\nown True\n")
            assert path.stat().st_mode & 0o777 == 0o640
            assert talk(path) == b"hello"
            os.kill(daemon.pid("web"), 9)
            # Whether it is up again or not: the queue is virtsupd's.
            assert talk(path) == b"hello"
            daemon.ask("Stop", "web")
            assert not path.exists()
            daemon.ask("Start", "web")
            assert talk(path) == b"hello"
        assert not path.exists()


def talk(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.connect(str(path))
        return client.recv(10)


def test_output_goes_to_its_log_and_is_rotated() -> None:
    with host() as made:
        lines = 3000
        made.write(
            f"""
[service.web]
command = {shell(f"seq {lines}; echo over; exec sleep 1000")}
log = {{ file = "{made.root}/own.log", max_size = "4K", keep = 2, compress = "none", mode = "0600" }}
[service.silent]
command = {shell("echo nothing; exec sleep 1000")}
log = false
"""
        )
        with made.started() as daemon:
            own = made.root / "own.log"
            eventually(lambda: "over\n" in all_of(made), "the last line")
            assert own.stat().st_mode & 0o777 == 0o600
            assert (made.root / "own.log.1").exists()
            assert daemon.status("web")["log_files"][0] == str(own)
            assert daemon.status("silent")["log_files"] == []
            assert daemon.ctl("log", "-n", "1", "web").stdout == "over\n"
            assert not (made.root / "log/silent.log").exists()


def all_of(made: Host) -> str:
    return "".join(path.read_text() for path in made.root.glob("own.log*"))


def test_no_line_is_lost_between_two_lives() -> None:
    line = "echo one; kill -9 $$"
    with virtsupd(
        f"[service.web]\ncommand = {shell(line)}\nrespawn = {{ delay = 0, limit = 20 }}\n"
    ) as daemon:
        daemon.await_status("web", lambda s: s["failed"], "the end of its respawns")
        assert eventually(lambda: daemon.host.log("web").count("one\n") == 21, "21 lines")
