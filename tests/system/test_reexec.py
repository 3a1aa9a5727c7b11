"""Upgrade in place, with real programs: what is kept, what the window may not swallow, what refuses."""

import os
import resource
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.daemon import Daemon, end_all, host, shell, virtsupd
from tests.support.reexec import LOADS, Programs, Window, descriptors, in_background, parent

from virtsupd.errors import ReexecutingError
from virtsupd.process.pidfile import is_alive

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

SLEEP = shell("exec sleep 1000")
WEB = f"[service.web]\ncommand = {SLEEP}\n"
COUNTS = shell("i=0; while :; do i=$((i+1)); echo $i; sleep 0.001; done")
ROUNDS = 50
TELLS_OF_CHECK = """
import atexit, pathlib, sys
if "--check-reexec" in sys.orig_argv:
    atexit.register(pathlib.Path(__file__).with_name("checked").touch)
"""
GREETS = """
import socket, os
listener = socket.socket(fileno=3)
print("up", flush=True)
while True:
    client, _ = listener.accept()
    client.sendall(client.recv(10))
    client.close()
"""
SAYS_READY = """
import os, signal, socket, sys
signal.sigwait([signal.SIGUSR2])
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
    sender.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
print("said", flush=True)
signal.pause()
"""
WRITES_READY = """
import os, signal
signal.sigwait([signal.SIGUSR2])
os.write(3, b"\\n")
os.close(3)
print("said", flush=True)
signal.pause()
"""


def script(text: str) -> str:
    """Return the TOML list of a command that runs Python with SIGUSR2 waiting for `sigwait`."""
    block = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])\n"
    made = (block + text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'["/usr/bin/python3", "-I", "-S", "-c", "{made}"]'


def reexecs(daemon: Daemon) -> int:
    """Return how often it has become another program."""
    return int(daemon.call("Status", names=[])["daemon"]["reexecs"])


def exit_text(daemon: Daemon, name: str) -> str:
    last = daemon.status(name)["last_exit"]
    return str(last["text"]) if last else ""


def test_pid_children_states_and_wishes_are_kept() -> None:
    services = WEB + f"[service.app]\ncommand = {SLEEP}\n[service.bad]\ncommand = {SLEEP}\n"
    with virtsupd(services) as daemon:
        daemon.ctl("stop", "app")
        os.kill(daemon.pid("bad"), signal.SIGKILL)
        daemon.await_status("bad", lambda s: s["restarts"] == 1 and s["pid"], "its restart")
        before = {name: daemon.status(name) for name in ("web", "app", "bad")}
        since = daemon.call("Status", names=[])["daemon"]["since"]
        done = daemon.ctl("reexec")
        assert done.stdout == f"virtsupd 0.1.0 goes on anew, pid {daemon.process.pid}\n"
        assert {name: daemon.status(name) for name in before} == before
        assert parent(daemon.pid("web")) == daemon.process.pid
        facts = daemon.call("Status", names=[])["daemon"]
        assert (facts["pid"], facts["since"]) == (daemon.process.pid, since)
        os.kill(daemon.pid("web"), signal.SIGTERM)
        daemon.await_status("web", lambda s: s["restarts"] == 1 and s["pid"], "its restart")
        assert exit_text(daemon, "web") == "ended by SIGTERM"
        daemon.ctl("start", "app")


def test_who_started_virtsupd_is_told() -> None:
    with host(WEB) as made:
        with made.started() as daemon:
            daemon.ctl("reexec")
            daemon.shutdown()
        said = "\n".join(daemon.said)
        assert said.index("RELOADING=1\nMONOTONIC_USEC=") < said.rindex("READY=1")


def test_usr1_does_the_same_and_logs_what_refuses() -> None:
    with host(WEB) as made, made.started() as daemon:
        pid = daemon.pid("web")
        daemon.signal("USR1")
        eventually(lambda: reexecs(daemon) == 1, "the new program")
        assert daemon.pid("web") == pid
        made.config.write_text("no table\n")
        daemon.signal("USR1")
        refused = daemon.await_event("virtsupd does not re-execute itself", who="SIGUSR1")
        assert "is refused" in refused[0]["reason"]
        assert reexecs(daemon) == 1


def test_clients_in_the_queues_are_served(tmp_path: Path) -> None:
    window = Window(tmp_path)
    with host(environment=window.environment) as made:
        place = made.root / "web.sock"
        sockets = f'[[service.web.sockets]]\nname = "web"\nlisten = "{place}"\n'
        made.write(f"[service.web]\ncommand = {script(GREETS)}\n{sockets}")
        with made.started() as daemon:
            made.await_log("web", "up")
            file = place.lstat().st_ino
            os.kill(daemon.pid("web"), signal.SIGSTOP)
            with window.open(daemon):
                clients = [socket.socket(socket.AF_UNIX) for _ in range(20)]
                asking = [socket.socket(socket.AF_UNIX) for _ in range(20)]
                for number, (client, one) in enumerate(zip(clients, asking, strict=True)):
                    client.connect(str(place))
                    client.sendall(f"{number:02}".encode())
                    one.connect(str(made.socket))
                    one.sendall(
                        b'{"method":"org.virtsupd.Supervisor.Status","parameters":{"names":["web"]}}\0'
                    )
            os.kill(daemon.pid("web"), signal.SIGCONT)
            for number, (client, one) in enumerate(zip(clients, asking, strict=True)):
                for each in (client, one):
                    each.settimeout(10)
                assert client.recv(2) == f"{number:02}".encode()
                assert b'"reexecs":1' in one.recv(65536)
                client.close()
                one.close()
            assert place.lstat().st_ino == file
            # A service that starts after it has the same socket, as its definition says.
            daemon.ctl("restart", "web")
            assert place.lstat().st_ino == file


def test_no_line_is_lost_or_doubled() -> None:
    with virtsupd(f"[service.web]\ncommand = {COUNTS}\n") as daemon:
        for _ in range(5):
            so_far = len(daemon.host.log("web").splitlines())
            daemon.ctl("reexec")
            eventually(lambda n=so_far: len(daemon.host.log("web").splitlines()) > n + 100, "lines")  # type: ignore[misc]  # a default
        daemon.ctl("stop", "web")
        lines = [int(line) for line in daemon.host.log("web").splitlines()]
        assert lines == list(range(1, len(lines) + 1))


def test_term_in_the_window_ends_the_new_program(tmp_path: Path) -> None:
    window = Window(tmp_path)
    with host(WEB, environment=window.environment) as made:
        with made.started() as daemon:
            pid = daemon.pid("web")
            with pytest.raises(Exception, match=r"cannot reach|closed"), window.open(daemon):
                daemon.signal("TERM")
            assert daemon.wait() == 0
            assert is_alive(pid)
        end_all(made)
        with made.started():
            pass


def test_orders_to_a_virtsupd_that_has_just_begun_are_carried_out(tmp_path: Path) -> None:
    window = Window(tmp_path, LOADS)
    with host(WEB, environment=window.environment) as made, ExitStack() as stack:
        with window.signalling(signal.SIGHUP, signal.SIGUSR1):
            daemon = stack.enter_context(made.started())
        daemon.await_event("configuration reloaded")
        eventually(lambda: reexecs(daemon) == 1, "the new program")


def test_a_handover_that_cannot_be_read_is_as_after_a_crash(tmp_path: Path) -> None:
    window = Window(tmp_path, LOADS)
    programs = Programs(tmp_path)
    programs.add("1.0")
    ready = f'[service.app]\ncommand = {script(WRITES_READY)}\nready = {{ kind = "fd" , fd = 3 }}\n'
    options = {"prefix": programs.prefix, "environment": window.environment}
    with host(WEB + ready, **options) as made, made.started() as daemon:
        before = [daemon.pid("web"), daemon.pid("app")]
        programs.add("2.0", ("process/reexec.py", 'fields["version"] !=', '"other" !='))
        with window.signalling(signal.SIGHUP, signal.SIGUSR1):
            daemon.ctl("reexec", expect=None)  # cut off, or told that nothing was gone on with
        assert "are taken over as after a crash" in daemon.output
        daemon.await_event("configuration reloaded")
        assert [daemon.pid("web"), daemon.pid("app")] == before
        os.kill(before[1], signal.SIGUSR2)
        daemon.await_state("app", "running")
        os.kill(before[0], signal.SIGKILL)
        daemon.await_status("web", lambda s: s["restarts"] == 1 and s["pid"], "its restart")


def test_hup_in_the_window_reloads(tmp_path: Path) -> None:
    window = Window(tmp_path)
    with virtsupd(WEB, environment=window.environment) as daemon:
        with window.open(daemon):
            daemon.signal("HUP")
        daemon.await_event("configuration reloaded")


def test_a_service_that_ends_in_the_window_is_found_with_its_status(tmp_path: Path) -> None:
    window = Window(tmp_path)
    once = (
        f"[service.once]\none_shot = true\ncommand = {script('signal.sigwait([signal.SIGUSR2])')}\n"
    )
    fails = f"[service.fails]\nrespawn = false\ncommand = {shell('trap : USR2; sleep 1000 & wait; exit 3')}\n"
    with virtsupd(WEB + once + fails, environment=window.environment) as daemon:
        web, others = daemon.pid("web"), [daemon.pid("once"), daemon.pid("fails")]
        with window.open(daemon):
            os.kill(web, signal.SIGKILL)
            for pid in others:
                os.kill(pid, signal.SIGUSR2)
            eventually(lambda: not any(map(is_alive, (web, *others))), "their ends")
        daemon.await_status("web", lambda s: s["restarts"] == 1 and s["pid"], "its restart")
        assert exit_text(daemon, "web") == "ended by SIGKILL"
        daemon.await_status("once", lambda s: s["done"], "its end")
        daemon.await_status("fails", lambda s: s["failed"], "its end")
        assert exit_text(daemon, "fails") == "exited with code 3"


@pytest.mark.parametrize(
    ("ready", "text"), [('"notify"', SAYS_READY), ('{ kind = "fd", fd = 3 }', WRITES_READY)]
)
def test_a_service_that_becomes_ready_in_the_window_is_heard(
    tmp_path: Path, ready: str, text: str
) -> None:
    window = Window(tmp_path)
    services = f"[service.web]\ncommand = {script(text)}\nready = {ready}\n"
    with virtsupd(services, environment=window.environment) as daemon:
        pid = daemon.pid("web")
        with window.open(daemon):
            os.kill(pid, signal.SIGUSR2)
            daemon.host.await_log("web", "said")
        daemon.await_state("web", "running")
        assert daemon.pid("web") == pid


def test_a_command_that_waits_is_asked_again() -> None:
    with host() as made:
        ready = (
            f'{{ kind = "exec", command = ["test", "-e", "{made.root}/ready"], timeout = "60s" }}'
        )
        made.write(f"[service.web]\ncommand = {SLEEP}\nready = {ready}\nautostart = false\n")
        with made.started() as daemon:
            with in_background(lambda: daemon.ctl("start", "web")) as done:
                daemon.await_state("web", "starting")
                daemon.ctl("reexec")
                assert not done
                (made.root / "ready").touch()
            assert done[0].stdout == "web is running\n"  # type: ignore[attr-defined]  # a CompletedProcess


def test_a_client_of_its_own_is_told_to_ask_again() -> None:
    services = f'[service.web]\ncommand = {SLEEP}\nready = "notify"\nautostart = false\n'
    with virtsupd(services) as daemon:

        def ask() -> object:
            try:
                return daemon.call("Start", names=["web"])
            except ReexecutingError as error:
                return error.code

        with in_background(ask) as told:
            daemon.await_state("web", "starting")
            daemon.ctl("reexec")
        assert told == ["re-executing"]
        assert daemon.state("web") == "starting"


def test_a_probe_at_work_begins_anew_and_an_action_is_waited_for() -> None:
    with host() as made:
        linger = shell(f"echo $$ > {made.root}/pid; exec sleep 1000")
        probe = f'["/bin/sh", "-c", "echo >> {made.root}/probes; while ! test -e {made.root}/go; do sleep 0.05; done"]'
        made.write(
            f'[service.web]\ncommand = {SLEEP}\nready = {{ kind = "exec", command = {probe}, timeout = "100s" }}\n'
            f"[service.web.actions.linger]\ncommand = {linger}\n"
        )
        with made.started() as daemon:
            pid = daemon.pid("web")
            eventually((made.root / "probes").exists, "a probe")
            daemon.ctl("reexec")
            eventually(lambda: (made.root / "probes").read_text() == "\n\n", "another one")
            (made.root / "go").touch()
            assert daemon.await_state("web", "running")["pid"] == pid
            with in_background(lambda: daemon.ctl("linger", "web", expect=None)):
                action = int(eventually(lambda: text_of(made.root / "pid").strip(), "the action"))
                refused = daemon.ctl("reexec", expect=1)
                assert "action of web: still at work after 5 s" in refused.stderr
                os.kill(action, signal.SIGTERM)
            assert daemon.pid("web") == pid
            daemon.ctl("reexec")


def test_fifty_in_a_row_leak_nothing() -> None:
    services = (
        f'[service.web]\ncommand = {script(SAYS_READY)}\nready = "notify"\n'
        f'[[service.web.sockets]]\nname = "a"\nlisten = "@virtsupd-test-{os.getpid()}"\n'
        f'[service.app]\ncommand = {script(WRITES_READY)}\nready = {{ kind = "fd" , fd = 3 }}\n'
    )
    with virtsupd(services) as daemon:
        pids = [daemon.pid("web"), daemon.pid("app")]
        daemon.ctl("reexec")
        before, took = descriptors(daemon), []
        for _ in range(ROUNDS):
            with daemon.client as client:
                client.call("Reexec")
                client.await_end()
                begun = time.monotonic()
                client.call("Status", {"names": []})
                took.append(time.monotonic() - begun)
        assert reexecs(daemon) == ROUNDS + 1
        assert [daemon.pid("web"), daemon.pid("app")] == pids
        eventually(lambda: descriptors(daemon) <= before, "no more descriptors than before")
        print(f"exec to first answer: p50 {sorted(took)[ROUNDS // 2] * 1000:.0f} ms")  # noqa: T201  (a figure for the report)


def test_limits_of_services_stay_those_that_virtsupd_was_started_with() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = min(soft, 1000)
    line = shell("ulimit -Sn; exec sleep 1000")
    with virtsupd(
        f"[service.web]\ncommand = {line}\n", prefix=("prlimit", f"--nofile={few}:{hard}")
    ) as daemon:
        daemon.ctl("reexec")
        daemon.ctl("restart", "web")
        daemon.host.await_log("web", f"{few}\n{few}\n")


def test_the_first_process_of_a_container_re_executes_itself() -> None:
    prefix = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    with host(WEB, prefix=prefix) as made, made.started() as daemon:
        before = daemon.status("web")
        daemon.ctl("reexec")
        facts = daemon.call("Status", names=[])["daemon"]
        assert (facts["pid"], facts["reexecs"]) == (1, 1)
        assert daemon.status("web") == before


# Upgrades


def test_a_link_that_was_turned_brings_the_new_version(tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    programs.add("1.0")
    with host(WEB, prefix=programs.prefix) as made, made.started() as daemon:
        before = daemon.status("web")
        programs.add("2.0")
        done = daemon.ctl("reexec")
        assert done.stdout == f"virtsupd 1.0 is 2.0 now, pid {daemon.process.pid}\n"
        assert daemon.status("web") == before


def test_a_changed_configuration_holds_from_the_next_start() -> None:
    with virtsupd(WEB) as daemon:
        pid = daemon.pid("web")
        daemon.host.write(WEB.replace("1000", "1001") + f"[service.new]\ncommand = {SLEEP}\n")
        daemon.ctl("reexec")
        assert daemon.pid("web") == pid
        assert daemon.status("web")["replacement_pending"]
        daemon.await_state("new", "running")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            ("supervisor/records.py", "VERSION = 2", "VERSION = 3"),
            "cannot read the records of this one, version 2; it reads 3",
        ),
        (("supervisor/memory.py", "VERSION = 1\n", "VERSION = 7\n"), "cannot use"),
        (
            ("process/reexec.py", "HANDOVER_VERSION = 1", "HANDOVER_VERSION = 2"),
            "cannot read the handover",
        ),
        (("daemon/daemon.py", "import gc", "import gone"), "No module named 'gone'"),
        (
            ("cli/supervise.py", "print(report(", "print((lambda *a, **k: 1)("),
            "does not say what it can read",
        ),
    ],
    ids=["records", "state", "handover", "broken", "mute"],
)
def test_a_program_that_does_not_fit_is_refused(
    tmp_path: Path, change: tuple[str, str, str], reason: str
) -> None:
    programs = Programs(tmp_path)
    programs.add("1.0")
    with host(WEB, prefix=programs.prefix) as made, made.started() as daemon:
        daemon.ctl("disable", "web")
        before, open_before = daemon.status("web"), descriptors(daemon)
        programs.add("2.0", change)
        refused = daemon.ctl("reexec", expect=1)
        assert reason in refused.stderr
        assert reexecs(daemon) == 0
        assert daemon.status("web") == before
        eventually(lambda: descriptors(daemon) <= open_before, "nothing left open")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("", "bad.toml"),
        ('run_dir = "/run/elsewhere"', "host.run_dir"),
        ("nonsense = 1", "nonsense"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(settings: str, reason: str) -> None:
    with virtsupd(WEB) as daemon:
        made = daemon.host
        text = made.config.read_text()
        if settings.startswith("run_dir"):
            made.config.write_text(text.replace(f'run_dir = "{made.run_dir}"', settings))
        elif settings:
            made.config.write_text(text.replace("[host]\n", f"[host]\n{settings}\n"))
        else:
            (made.root / "host.toml.d").mkdir()
            (made.root / "host.toml.d/bad.toml").write_text("[")
        refused = daemon.ctl("reexec", expect=1)
        assert reason in refused.stderr
        assert reexecs(daemon) == 0
        assert daemon.state("web") == "running"


@pytest.mark.parametrize(
    ("settings", "access", "reason"),
    [
        ('herd_socket = "{root}/plain"', "", "something that is not a socket"),
        ('log_dir = "{root}/plain/log"', "", "not a directory"),
        ("", 'mode = "0666"\n[virtlog]', "others can write to it"),
        ("", 'owner = "65534"\ngroup = "65533"', ""),
    ],
    ids=["socket", "logs", "generated", "owner"],
)
def test_what_the_new_program_could_not_begin_with_is_refused(
    settings: str, access: str, reason: str
) -> None:
    with virtsupd(WEB) as daemon:
        made, before = daemon.host, daemon.status("web")
        (made.root / "plain").touch()
        if reason.startswith("others"):
            (made.run_dir / "generated/virtlog").mkdir()
            (made.run_dir / "generated/virtlog").chmod(0o777)
        made.settings = "\n".join((made.settings, settings.format(root=made.root)))
        text = f"{WEB}[access]\n{access}\n"
        made.write(text)
        if settings.startswith("log_dir"):
            made.config.write_text(
                made.config.read_text().replace(f'log_dir = "{made.root}/log"', "", 1)
            )
        if not reason:
            daemon.ctl("reexec")
            found = made.socket.stat()
            assert (found.st_uid, found.st_gid) == (65534, 65533)
        else:
            checked = made.run("--check")
            assert (checked.returncode, reason in checked.stderr) == (2, True), checked
            assert reason in daemon.ctl("reexec", expect=1).stderr
        assert daemon.status("web") == before
        if reason.startswith("others"):
            (made.run_dir / "generated/virtlog").rmdir()


def test_what_comes_in_the_way_while_commands_are_waited_for_is_refused(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(TELLS_OF_CHECK)
    with host(environment={"PYTHONPATH": str(site)}) as made:
        linger = shell(
            f"echo > {made.root}/begun; while test -e {made.root}/begun; do sleep 0.05; done; sleep 0.2"
        )
        made.write(f"{WEB}[service.web.actions.linger]\ncommand = {linger}\n")
        with made.started() as daemon:
            before = daemon.status("web")
            with in_background(lambda: daemon.ctl("linger", "web")):
                eventually((made.root / "begun").exists, "the action")
                with in_background(lambda: daemon.ctl("reexec", expect=1)) as done:
                    eventually((site / "checked").exists, "the check")
                    made.state_file.write_text("[]")
                    (made.root / "begun").unlink()
            assert "services.json" in done[0].stderr  # type: ignore[attr-defined]  # a CompletedProcess
            assert reexecs(daemon) == 0
            assert daemon.status("web") == before
            made.state_file.unlink()
            daemon.ctl("reexec")


def test_a_program_that_is_gone_after_its_check_changes_nothing(tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    programs.add("1.0")
    with host(WEB, prefix=programs.prefix) as made, made.started() as daemon:
        pid = daemon.pid("web")
        programs.add(
            "2.0",
            (
                "cli/supervise.py",
                "    print(report(",
                f"    os.unlink({str(tmp_path / '2.0/virtsupd')!r}); print(report(",
            ),
        )
        failed = daemon.ctl("reexec", expect=1)
        assert "could not re-execute itself: cannot run" in failed.stderr
        assert "No such file or directory" in failed.stderr
        facts = daemon.call("Status", names=[])["daemon"]
        assert (facts["version"], facts["reexecs"], facts["phase"]) == ("1.0", 0, "running")
        os.kill(pid, signal.SIGKILL)
        daemon.await_status("web", lambda s: s["restarts"] == 1 and s["pid"], "its restart")
        programs.turn("1.0")
        daemon.ctl("reexec")
        assert not daemon.call("Status", names=[])["daemon"]["warnings"]


def test_a_program_that_dies_in_its_place_leaves_the_services_to_the_next(tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    programs.add("1.0")
    with host(WEB, prefix=programs.prefix) as made:
        with made.started() as daemon:
            pid = daemon.pid("web")
            programs.add(
                "2.0", ("cli/supervise.py", "    handover = _received()", "    raise SystemExit(9)")
            )
            failed = daemon.ctl("reexec", expect=6)
            assert "the services run on, and are taken over by the next" in failed.stderr
            assert daemon.wait() == 9
        programs.turn("1.0")
        with made.started() as daemon:
            assert daemon.pid("web") == pid
