"""Every verb of virtsupctl on a real virtsupd with real services: what an operator would lose."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.checks import eventually
from tests.support.daemon import CLIENT, SECONDS, Daemon, host, shell, terminal
from tests.support.one_of_each import NAMES, WEB_KEEPER, one_of_each, rest

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with one_of_each() as started:
        yield started


@pytest.fixture(autouse=True)
def at_rest(daemon: Daemon) -> None:
    rest(daemon)


def said(daemon: Daemon, *words: str, code: int = 0) -> str:
    """Return what virtsupctl printed; where it succeeds, it has nothing to complain about."""
    done = daemon.ctl(*words, expect=code)
    assert code != 0 or done.stderr == ""
    return done.stdout + done.stderr


def document(daemon: Daemon, *words: str, code: int = 0) -> Any:
    """Return the JSON that virtsupctl printed."""
    return json.loads(daemon.ctl("--json", *words, expect=code).stdout)


@contextmanager
def running(
    daemon: Daemon, *words: str, fd: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Give a virtsupctl at work, on a terminal if `fd` is one, and end it."""
    stream = subprocess.PIPE if fd is None else fd
    with subprocess.Popen(
        [*CLIENT, "--socket", str(daemon.host.socket), *words],
        env={**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm"},
        stdin=subprocess.DEVNULL if fd is None else fd,
        stdout=stream,
        stderr=stream,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[bytes]) -> str:
    """Return the next line it prints."""
    assert process.stdout is not None
    return process.stdout.readline().decode().rstrip("\n")


def test_status_shows_every_service_once(daemon: Daemon) -> None:
    names = [service["name"] for service in document(daemon, "status")["services"]]
    shown = said(daemon, "status").split()
    assert sorted(names) == NAMES
    assert all(shown.count(name) == 1 for name in NAMES)
    assert said(daemon).startswith("virtsupd ")


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        (
            "www",
            0,
            ["web: front page", "running since", "| web is up", "Actions       fail, greet"],
        ),
        ("once", 0, ["done since", "exited with code 0", "| done it"]),
        ("off", 3, ["stopped", "stopped by root via virtsupctl"]),
        ("crashing", 3, ["exited with code 3; starts again by itself in", "| crash"]),
        ("slow", 3, ["starting since", "waits until ready (notify)"]),
    ],
)
def test_status_of_each_kind(daemon: Daemon, name: str, code: int, expected: list[str]) -> None:
    daemon.host.await_log("web", "web is up")
    shown = said(daemon, "status", name, code=code)
    for text in expected:
        assert text in shown


def test_status_lists_every_process_of_a_service(daemon: Daemon) -> None:
    shown = said(daemon, "status", "--processes", "web")
    assert str(daemon.pid("web")) in shown
    assert "sleep 1000" in shown.partition("COMMAND")[2]


def test_without_cgroups_a_service_is_its_leaders_family() -> None:
    line = 'umount --all --types cgroup2; exec "$@"'
    services = f"[service.parent]\ncommand = {shell('sleep 1000 & wait')}\n"
    prefix = ("unshare", "--mount", "sh", "-c", line, "sh")
    with host(services, prefix=prefix) as made, made.started() as daemon:
        daemon.await_state("parent", "running")
        eventually(lambda: "sleep 1000\n" in said(daemon, "status", "-p", "parent"), "a child")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("start", "broken"),
            ["broken: exited with code 7", "| cannot", "virtsupctl status broken"],
        ),
        (("start", "needs-broken"), ["needs-broken needs broken: exited with code 7"]),
        (("start", "missing"), ["missing: program: cannot run /no/such/program"]),
        (("start", "web", "missing"), ["web is already running", "missing: program"]),
        (("restart", "broken"), ["broken: exited with code 7"]),
        (("reload", "database"), ["database cannot reload"]),
        (("fail", "web"), ["fail of web exited with code 3: oops"]),
    ],
)
def test_what_fails_exits_1_and_says_why(
    daemon: Daemon, words: Sequence[str], told: list[str]
) -> None:
    shown = said(daemon, *words, code=1)
    for text in told:
        assert text in shown


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("frob",), 2),
        (("stop",), 2),
        (("status", "--frob"), 2),
        (("log", "-n", "10001", "web"), 2),
        (("status", "nosuch"), 4),
        (("start", "web", "nosuch"), 4),
        (("log", "nosuch"), 4),
        (("cat", "nosuch"), 4),
        (("wait", "nosuch"), 4),
        (("frob", "web"), 4),
        (("--timeout", "100ms", "wait", "slow"), 7),
        (("--timeout", "100ms", "start", "slow"), 7),
        (("--timeout", "100ms", "watch"), 7),
        (("--timeout", "100ms", "log", "-f", "web"), 7),
    ],
)
def test_exit_codes(daemon: Daemon, words: Sequence[str], code: int) -> None:
    done = daemon.ctl(*words, expect=code)
    assert done.stderr.startswith("virtsupctl: ")


def test_json_tells_of_an_error_too(daemon: Daemon) -> None:
    for words, code, name in [
        (("status", "nosuch"), 4, "service-not-found"),
        (("frob", "web"), 4, "action-not-found"),
        (("--timeout", "50ms", "wait", "slow"), 7, "timed-out"),
    ]:
        assert document(daemon, *words, code=code)["error"]["code"] == name


def test_a_virtsupd_that_is_not_there(tmp_path: Path) -> None:
    with host() as made:
        daemon = Daemon(replace(made, root=tmp_path), None, tmp_path)  # type: ignore[arg-type] # there is none
        done = daemon.ctl("status", expect=6)
    assert "is it running? start it with" in done.stderr


def test_start_stop_and_restart(daemon: Daemon) -> None:
    assert said(daemon, "start", "www") == "web is already running\n"
    assert said(daemon, "stop", "database") == (
        "database has been stopped\nalso stopped, until it is started again: web\n"
    )
    assert "waits for database" in said(daemon, "status", "web", code=3)
    assert said(daemon, "start", "web") == "web is running\n"
    before = daemon.pid("web")
    assert said(daemon, "restart", "database") == "database is running\nalso restarted: web\n"
    assert daemon.await_state("web", "running")["pid"] != before
    assert said(daemon, "stop", "web") == "web has been stopped\n"
    assert said(daemon, "stop", "web") == "web is not running\n"
    assert said(daemon, "--quiet", "start", "web") == ""


def test_start_says_who_had_to_make_room(daemon: Daemon) -> None:
    assert said(daemon, "start", "rival") == (
        "rival is running\nstopped, since it conflicts: resident\n"
    )


def test_a_transient_service_is_gone_after_its_stop(daemon: Daemon) -> None:
    assert said(daemon, "start", "fleeting") == "fleeting is running\n"
    assert "gone" in said(daemon, "stop", "fleeting")
    said(daemon, "status", "fleeting", code=4)
    assert said(daemon, "reload") == "fleeting: is new, and stays down until it is started\n"


def test_disable_and_enable(daemon: Daemon) -> None:
    assert said(daemon, "disable", "off") == "off has been disabled\n"
    assert "off: disabled" in said(daemon, "start", "off", code=1)
    assert "allow it with: virtsupctl enable off" in said(daemon, "status", "off", code=3)
    assert said(daemon, "enable", "off") == "off has been enabled\n"


def test_doc_actions_graph_and_cat(daemon: Daemon) -> None:
    assert said(daemon, "doc", "off", "web").startswith("off: no description\nweb: front page\n")
    assert "virtsupctl greet web  Greet somebody." in said(daemon, "actions", "web")
    assert said(daemon, "graph", "web") == "+ web\n└─ + database\n"
    assert '"web" -> "database";' in said(daemon, "graph", "--dot")
    assert document(daemon, "graph", "web")["edges"][0]["kind"] == "requires"
    shown = said(daemon, "cat", "web")
    assert f"# from {daemon.host.config} [service.web]" in shown
    assert 'requires = ["database"]' in shown


def test_an_action_takes_its_arguments_as_typed(daemon: Daemon) -> None:
    assert said(daemon, "greet", "web", "a b", "", "é☃", "-x", "--json") == (
        "[a b][][é☃][-x][--json]\n"
    )
    assert document(daemon, "greet", "web", "you") == {"lines": ["[you]"]}


def test_reload_of_a_service_reaches_it(daemon: Daemon) -> None:
    assert said(daemon, "reload", "web") == "web has been reloaded\n"
    daemon.host.await_log("web", "reloaded")


def test_reload_of_a_configuration_that_is_wrong_changes_nothing(daemon: Daemon) -> None:
    good = daemon.host.config.read_text()
    try:
        daemon.host.config.write_text(good + "[service.new]\ncomand = []\n")
        shown = said(daemon, "reload", code=2)
        refused = document(daemon, "reload", code=2)
    finally:
        daemon.host.config.write_text(good)
    assert "nothing has changed" in shown
    assert str(daemon.host.config) in shown
    assert "command" in shown
    assert refused["error"]["code"] == "bad-configuration"
    assert said(daemon, "status", "new", code=4)


def test_another_user_may_do_what_the_rules_say(daemon: Daemon) -> None:
    assert as_web_keeper(daemon, "start", "web").stdout == "web is already running\n"
    for words in (
        *(("stop", "resident"), ("disable", "web"), ("shutdown",), ("quit",), ("reload",)),
        *(("status", "resident"), ("log", "resident"), ("cat", "resident"), ("stop", "database")),
    ):
        refused = as_web_keeper(daemon, *words)
        assert (refused.returncode, refused.stdout) == (5, "")
        assert "permission denied" in refused.stderr or "needs role" in refused.stderr
        assert "[access]" in refused.stderr
    shown = as_web_keeper(daemon, "status", "--json").stdout
    assert [service["name"] for service in json.loads(shown)["services"]] == ["web"]


def test_wait_returns_when_it_is_so(daemon: Daemon) -> None:
    assert said(daemon, "wait", "web", "database") == "web is running\ndatabase is running\n"
    with running(daemon, "wait", "--state", "stopped", "web") as waiting:
        daemon.call("Stop", names=["web"])
        assert waiting.wait(SECONDS) == 0
    with running(daemon, "wait", "web") as waiting:
        daemon.call("Start", names=["web"])
        assert waiting.wait(SECONDS) == 0


def test_an_interrupted_wait_says_what_stays_in_force(daemon: Daemon) -> None:
    with terminal() as (ours, programs), running(daemon, "start", "slow", fd=programs) as process:
        shown = Screen(ours)
        shown.await_text("starting slow (")
        shown.await_text("waits until ready (notify)")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(SECONDS) == 130
        shown.await_text("take it back with: virtsupctl stop slow")
        assert "Traceback" not in shown.text
    assert daemon.state("slow") == "starting"


def test_colours_are_for_terminals_alone(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in said(daemon, "status")
    assert "\x1b[" in on_terminal(daemon, "status")
    assert "\x1b" not in on_terminal(daemon, "--no-color", "status")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in on_terminal(daemon, "status")


def test_watch_shows_each_change(daemon: Daemon) -> None:
    with running(daemon, "--json", "watch", "web") as watching:
        eventually(lambda: reloaded_and_told(daemon, watching), "a change is told")
        daemon.call("Restart", names=["web"])
        seen = []
        while "service running" not in seen:
            seen.append(json.loads(line_of(watching))["event"])
    changes = [event for event in seen if event != "service reloaded"]
    assert changes == [
        f"service {what}" for what in ("stopping", "exited", "stopped", "starting", "running")
    ]


def test_log_is_followed_over_rotations() -> None:
    """Three hundred lines and a log of a few: none is missing, none comes twice."""
    count = 300
    line = f"echo line 0; read go; for n in $(seq {count}); do echo line $n; done; exec sleep 1000"
    with host() as made:
        fifo = made.root / "go"
        os.mkfifo(fifo)
        made.write(
            f"[service.writer]\ncommand = {shell(f'exec <>{fifo}; {line}')}\n"
            'log = { max_size = "1KiB", keep = 50 }\n'
        )
        with made.started() as daemon:
            with running(daemon, "log", "--follow", "writer") as following:
                seen = [line_of(following)]  # from now on it follows
                fifo.write_text("go\n")
                seen += [line_of(following) for _ in range(count)]
            assert seen == [f"line {number}" for number in range(count + 1)]
            past = said(daemon, "log", "-n", "9999", "writer").splitlines()
            rotated = list((made.root / "log").glob("writer.log.*"))
    assert past == seen
    assert rotated


def test_log_without_names_tells_what_changed(daemon: Daemon) -> None:
    daemon.call("Restart", names=["web"])
    assert f"  web running, pid {daemon.pid('web')}\n" in said(daemon, "log", "-n", "1")
    assert document(daemon, "log", "-n", "1")["event"] == "service running"


def test_several_logs_are_told_apart(daemon: Daemon) -> None:
    assert "once | done it\n" in said(daemon, "log", "-n", "1", "once", "web")
    lines = daemon.ctl("--json", "log", "-n", "1", "once", "web").stdout.splitlines()
    assert {json.loads(line)["name"] for line in lines} == {"once", "web"}


def test_shutdown_ends_everything_and_is_believed_when_it_has() -> None:
    with one_of_each() as daemon:
        pids = [daemon.pid(name) for name in ("web", "database", "slow")]
        assert said(daemon, "shutdown") == "everything is stopped, virtsupd ends\n"
        assert daemon.wait() == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
        said(daemon, "status", code=6)


def as_web_keeper(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    """Run virtsupctl as another user, whom the files of this checkout may be closed to."""
    code = (
        "import os, sys; from virtsupd.cli import virtsupctl, arguments, commands, detail, follow\n"
        "from virtsupd.cli import graph, inquiries, overview, problems, progress, status, usage\n"
        "os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv.pop(1)))\n"
        "sys.exit(virtsupctl.main())"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(WEB_KEEPER), "-s", str(daemon.host.socket), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def reloaded_and_told(daemon: Daemon, watching: subprocess.Popen[bytes]) -> bool:
    """Make a small change and look whether the watcher has anything to say, so that it watches."""
    assert watching.stdout is not None
    daemon.call("ReloadService", names=["web"])
    return bool(select.select([watching.stdout], [], [], 0)[0])


def on_terminal(daemon: Daemon, *words: str) -> str:
    """Return what virtsupctl writes on a terminal."""
    with terminal() as (ours, programs), running(daemon, *words, fd=programs) as process:
        screen = Screen(ours)
        assert process.wait(SECONDS) == 0
        screen.read()
        return screen.text


class Screen:
    """What arrives at our end of a terminal."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.text = ""
        os.set_blocking(fd, False)

    def read(self) -> None:
        """Take what there is."""
        try:
            while piece := os.read(self._fd, 65536):
                self.text += piece.decode(errors="replace")
        except BlockingIOError:
            return

    def await_text(self, expected: str) -> None:
        """Read on until the text has come."""

        def arrived() -> bool:
            self.read()
            return expected in self.text

        eventually(arrived, f"{expected!r} on the terminal")
