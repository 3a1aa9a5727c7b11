"""The real `herd` of GNU Shepherd 1.0 as the client of a real virtsupd: what its user sees."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.daemon import Daemon
from tests.support.one_of_each import DATABASE_KEEPER, NOBODY, WEB_LINE, one_of_each, rest
from tests.support.real_herd import Outcome, herd, herd_program

pytestmark = [pytest.mark.component, pytest.mark.timeout(330)]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with one_of_each() as started:
        yield started


@pytest.fixture(autouse=True)
def at_rest(daemon: Daemon) -> None:
    rest(daemon)


def lines(outcome: Outcome) -> list[str]:
    """Return what was printed, without indentation."""
    return [line.strip() for line in outcome.output.splitlines()]


def worked(daemon: Daemon, *words: str) -> list[str]:
    """Return what herd printed; it has to exit 0 without a complaint."""
    outcome = herd(daemon.host.socket, *words)
    assert (outcome.code, outcome.errors) == (0, "")
    return lines(outcome)


def failed(daemon: Daemon, *words: str) -> str:
    """Return all that herd printed; it has to exit 1 and to say why without a backtrace."""
    outcome = herd(daemon.host.socket, *words)
    assert outcome.code == 1
    assert outcome.errors.startswith("herd: error: ")
    assert "Backtrace" not in outcome.errors
    return outcome.output + outcome.errors


def test_status_groups_the_services(daemon: Daemon) -> None:
    found = worked(daemon, "status")
    started, rest = found.index("Started:"), found.index("Starting:")
    assert found[started + 1 : rest] == ["+ database", "+ once", "+ resident", "+ root", "+ web"]
    assert found[rest + 1] == "^ slow"
    assert "- crashing" in found[found.index("Stopped:") :]


def test_a_running_service_is_shown_with_its_process_and_log(daemon: Daemon) -> None:
    daemon.host.await_log("web", "web is up")
    found = worked(daemon, "status", "www")
    assert found[0].endswith("Status of web:")
    assert found[1].startswith("It is running since")
    for line in [
        f"Main PID: {daemon.pid('web')}",
        f'Command: /bin/sh -c "{WEB_LINE}"',
        "It is enabled.",
        "Provides: web www",
        "Requires: database",
        "Custom actions: fail greet reload",
        "Will be respawned.",
        f"Log file: {daemon.host.root}/log/web.log",
    ]:
        assert line in found
    assert found[-1].endswith("web is up")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("off", ["It is stopped", "virtsupd: stopped by root"]),
        ("crashing", ["Process exited with code 3.", "virtsupd: exited with code 3", "crash"]),
        ("once", ["It is running since", "Running value is #t.", "Will not be respawned."]),
        ("slow", ["It is starting.", "virtsupd: waits until ready (notify)"]),
        ("root", ["It is running since", "Provides: root shepherd"]),
    ],
)
def test_status_of_each_kind(daemon: Daemon, name: str, expected: list[str]) -> None:
    shown = "\n".join(worked(daemon, "status", name))
    for text in expected:
        assert text in shown


def test_a_log_of_many_lines_and_files_is_shown_by_its_end(daemon: Daemon) -> None:
    log = daemon.host.root / "log/rival.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    log.with_name("rival.log.1").write_text("older\n")
    found = worked(daemon, "-n", "50", "status", "rival")
    log.unlink()
    log.with_name("rival.log.1").unlink()
    assert f"Log files: {log} {log}.1" in " ".join(found)
    assert sum(" line " in line for line in found) == 9
    assert "older" not in " ".join(found)


def test_detailed_status_log_and_graph_show_every_service(daemon: Daemon) -> None:
    names = [service["name"] for service in daemon.call("Status", names=[])["services"]]
    detailed = worked(daemon, "detailed-status")
    drawn = worked(daemon, "graph")
    assert sum("Status of" in line for line in detailed) == len(names) + 1
    assert all(any(line.startswith(f'"{name}" [') for line in drawn) for name in names)
    assert '"web" -> "database";' in drawn
    assert any(line.endswith("\tservice web is running") for line in worked(daemon, "log"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("broken", "broken: exited with code 7 before it was ready"),
        ("needs-broken", "needs-broken needs broken: exited with code 7"),
        ("missing", "missing: program: cannot run /no/such/program"),
        ("needs-missing", "needs-missing needs missing: program: cannot run /no/such/program"),
    ],
)
def test_a_start_that_fails_says_why(daemon: Daemon, name: str, told: str) -> None:
    said = failed(daemon, "start", name)
    assert f"Service {name} could not be started." in said
    assert told in said
    assert f"failed to start service {name}" in said


def test_what_failed_is_shown_as_failed_with_the_reason(daemon: Daemon) -> None:
    failed(daemon, "start", "missing")
    summary = worked(daemon, "status")
    shown = worked(daemon, "status", "missing")
    assert "! missing" in summary[summary.index("Failed to start:") :]
    assert "It is stopped (failing)." in shown
    assert shown[-1].endswith("virtsupd: program: cannot run /no/such/program: no such program")


def test_what_is_disabled_does_not_start(daemon: Daemon) -> None:
    assert worked(daemon, "disable", "off") == ["Disabled service off."]
    assert "disabled" in failed(daemon, "start", "off")
    assert "needs-off needs off: disabled" in failed(daemon, "start", "needs-off")
    assert "It is disabled." in worked(daemon, "status", "off")
    assert worked(daemon, "enable", "off") == ["Enabled service off."]
    assert herd(daemon.host.socket, "start", "off").code == 0
    assert daemon.state("off") == "running"


def test_start_stop_and_restart(daemon: Daemon) -> None:
    assert worked(daemon, "start", "www") == ["Service web is already running."]
    assert worked(daemon, "stop", "www") == []
    assert worked(daemon, "stop", "www") == []
    assert worked(daemon, "start", "www") == ["Service web has been started."]
    before = daemon.pid("web")
    assert worked(daemon, "restart", "web") == ["Service web has been started."]
    assert daemon.pid("web") != before


def test_a_stop_takes_along_what_needs_it_and_lists_it_on_the_wire(daemon: Daemon) -> None:
    assert raw(daemon, "stop", "database").startswith(
        "(reply (version 0) (result (database web)) (error #f) (messages ())"
    )
    assert "virtsupd: waits for database" in "\n".join(worked(daemon, "status", "web"))
    assert worked(daemon, "start", "database") == ["Service database has been started."]
    daemon.await_state("web", "running")


def test_what_a_restart_takes_along_is_told(daemon: Daemon) -> None:
    assert worked(daemon, "restart", "database") == [
        "Service database has been started.",
        "Service web is restarted along with it.",
    ]
    daemon.await_state("web", "running")


def test_who_had_to_make_room_is_told(daemon: Daemon) -> None:
    assert worked(daemon, "start", "rival") == [
        "Service rival has been started.",
        "Service resident has been stopped to make room.",
    ]


def test_a_one_shot_that_is_done(daemon: Daemon) -> None:
    assert worked(daemon, "start", "once") == ["Service once is already running."]
    assert worked(daemon, "stop", "once") == []
    assert worked(daemon, "restart", "once") == ["Service once has been started."]


def test_a_transient_service_is_gone_after_its_stop(daemon: Daemon) -> None:
    assert worked(daemon, "start", "fleeting") == ["Service fleeting has been started."]
    assert worked(daemon, "stop", "fleeting") == []
    assert "service 'fleeting' could not be found" in failed(daemon, "status", "fleeting")


def test_doc_in_all_its_forms(daemon: Daemon) -> None:
    assert worked(daemon, "doc", "web") == ["front page"]
    assert worked(daemon, "doc", "off") == ["[No description]."]
    assert worked(daemon, "doc", "web", "action", "greet") == ["greet: Greet somebody."]
    assert worked(daemon, "doc", "web", "list-actions")[:2] == ["fail:", "Fail."]
    assert worked(daemon, "doc", "root")
    assert "does not have an action 'nope'" in failed(daemon, "doc", "web", "action", "nope")


def test_an_action_takes_its_arguments_as_typed(daemon: Daemon) -> None:
    assert worked(daemon, "greet", "web", "a b", "", "é☃", "--", "-x") == ["[a b][][é☃][-x]"]
    assert "fail of web exited with code 3: oops" in failed(daemon, "fail", "web")
    assert worked(daemon, "reload", "web") == ["web has been reloaded"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["status", "nosuch"], "service 'nosuch' could not be found"),
        (["start", "wbe"], "Did you mean 'web'?"),
        (["nope", "web"], "service 'web' does not have an action 'nope'"),
        (["eval", "root", "(+ 1 1)"], "service 'root' does not have an action 'eval'"),
        (["restart", "root"], "cannot restart virtsupd itself"),
    ],
)
def test_what_there_is_not(daemon: Daemon, words: list[str], told: str) -> None:
    assert told in failed(daemon, *words)


def test_another_user_may_do_what_the_rules_say(daemon: Daemon) -> None:
    assert "Service web is already running." in as_user(NOBODY, daemon, "start", "web").output
    for words in (("stop", "resident"), ("disable", "web"), ("stop", "root"), ("status", "off")):
        refused = as_user(NOBODY, daemon, *words)
        assert refused.code == 1
        assert "permission-denied" in refused.errors
    assert daemon.state("resident") == "running"
    shown = lines(as_user(NOBODY, daemon, "status"))
    assert [line for line in shown if not line.endswith(":")] == ["+ database", "+ root", "+ web"]


def test_a_stop_that_takes_along_what_its_asker_may_not_end_is_refused(daemon: Daemon) -> None:
    refused = as_user(DATABASE_KEEPER, daemon, "stop", "database")
    assert refused.code == 1
    assert "permission-denied stop database" in refused.errors
    assert "web" in refused.errors
    assert daemon.state("database") == "running"
    assert as_user(NOBODY, daemon, "stop", "database").code == 0
    assert as_user(DATABASE_KEEPER, daemon, "start", "database").code == 0


def test_the_second_socket_is_for_herd_alone(daemon: Daemon) -> None:
    outcome = herd(daemon.host.root / "herd", "status", "database")
    assert (outcome.code, outcome.errors) == (0, "")
    refused = daemon.ctl("--socket", str(daemon.host.root / "herd"), "status", expect=6)
    assert refused.stdout == ""


def test_stop_root_ends_everything() -> None:
    with one_of_each() as daemon:
        pids = [daemon.pid(name) for name in ("web", "database", "slow")]
        outcome = herd(daemon.host.socket, "stop", "root")
        assert (outcome.code, outcome.output, outcome.errors) == (0, "", "")
        assert daemon.wait() == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def as_user(uid: int, daemon: Daemon, *words: str) -> Outcome:
    """Run herd as another user."""
    program = (str(herd_program()), "-s", str(daemon.host.socket))
    done = subprocess.run(
        ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *program, *words],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        cwd="/",
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/"},
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def raw(daemon: Daemon, action: str, service: str) -> str:
    """Return what herd would be answered."""
    command = (
        f"(shepherd-command (version 0) (action {action}) (service {service})"
        ' (arguments ()) (directory "/"))'
    )
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rb") as replies:
        connection.settimeout(10)
        connection.connect(str(daemon.host.socket))
        connection.sendall(command.encode())
        return replies.read().decode()
