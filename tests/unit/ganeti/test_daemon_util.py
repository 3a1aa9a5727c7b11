"""Every verb of Ganeti's daemon-util: what virtsupd is asked, what is printed, the exit code."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_varlink import (
    HANG_UP,
    SILENCE,
    FakeSupervisor,
    fake_supervisor,
    reason,
    reports,
    service,
    status_of,
    stopped,
)

from virtsupd.ganeti.daemon_util import DaemonUtil, main

NAMES = ("noded", "confd", "wconfd", "rapi", "luxid", "kvmd", "mond")
LATER = 1e11
"""After all that a test begins."""


class Ganeti:
    """Ganeti, which calls a program; `code` is how the last call ended."""

    def __init__(self, virtsupd: FakeSupervisor, path: Path) -> None:
        self.virtsupd = virtsupd
        self.path = path
        self.ssh = ""
        self.environment: dict[bytes, bytes] = {}

    def runs(self, *words: str) -> int:
        util = DaemonUtil(
            str(self.virtsupd.path), self.ssh, str(self.path / "server.pem"), self.environment
        )
        return main(words, util)

    def asked(self) -> list[str]:
        """Return what virtsupd was asked: "Start ganeti-noded"."""
        return [f"{method} {parameters['names'][0]}" for method, parameters in self.virtsupd.calls]


@pytest.fixture(name="ganeti")
def make_ganeti(tmp_path: Path) -> Iterator[Ganeti]:
    with fake_supervisor(tmp_path / "s") as virtsupd:
        for method in ("Start", "Stop", "ReloadService", "Restart"):
            virtsupd.answers[method] = lambda _: [reports(("x", "done", "as asked"))]
        virtsupd.answers["Status"] = lambda parameters: [
            {"services": [service(parameters["names"][0])]}
        ]
        yield Ganeti(virtsupd, tmp_path)


def exited(code: int | None, at: float = LATER) -> dict[str, Any]:
    signal = "SIGKILL" if code is None else None
    return {"code": code, "signal": signal, "text": "ended", "at": at}


def is_so(ganeti: Ganeti, *services: dict[str, Any]) -> None:
    ganeti.virtsupd.answers["Status"] = status_of(list(services))


def results(ganeti: Ganeti, method: str, result: str, message: str = "no reason") -> None:
    ganeti.virtsupd.answers[method] = lambda _: [reports(("x", result, message))]


def missing(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"error": "ServiceNotFound", "name": parameters["names"][0], "nearest": None}]


def is_missing(ganeti: Ganeti, method: str, *names: str) -> None:
    def answer(parameters: dict[str, Any]) -> list[dict[str, Any]]:
        is_here = parameters["names"][0] not in names
        return [reports(("x", "done", ""))] if is_here else missing(parameters)

    ganeti.virtsupd.answers[method] = answer


# Starting


def test_a_start_passes_on_what_is_for_this_run_alone_as_a_shell_would(ganeti: Ganeti) -> None:
    ganeti.environment[b"EXTRA_WCONFD_ARGS"] = b" --no-voting\t--yes-do-it "
    ganeti.environment[b"EXTRA_LUXID_ARGS"] = b"--other"
    assert ganeti.runs("start", "ganeti-wconfd", "--force-node", 'a "b\u00e4') == 0
    once = ["--no-voting", "--yes-do-it", "--force-node", 'a "b\u00e4']
    assert ganeti.virtsupd.calls == [("Start", {"names": ["ganeti-wconfd"], "once": once})]


@pytest.mark.parametrize(
    ("result", "last_exit", "code"),
    [
        ("done", None, 0),
        ("already", None, 0),
        ("not-needed", exited(11), 11),
        ("not-needed", exited(0), 0),
        ("not-needed", exited(11, at=1.0), 0),
        ("failed", exited(1), 1),
        ("failed", exited(3), 3),
        ("failed", exited(0), 1),
        ("failed", exited(None), 1),
        ("failed", exited(3, at=1.0), 1),
        ("failed", None, 1),
        ("disabled", None, 1),
        ("waiting", None, 1),
        ("refused", None, 1),
        ("superseded", None, 1),
    ],
)
def test_a_start_ends_as_the_daemon_did(
    ganeti: Ganeti,
    capsys: pytest.CaptureFixture[str],
    result: str,
    last_exit: dict[str, Any] | None,
    code: int,
) -> None:
    is_so(ganeti, stopped("ganeti-luxid", last_exit=last_exit))
    results(ganeti, "Start", result)
    assert ganeti.runs("start", "ganeti-luxid") == code
    is_good = result in ("done", "already", "not-needed")
    assert capsys.readouterr().err == ("" if is_good else "daemon-util: no reason\n")


@pytest.mark.parametrize(
    ("name", "code"), [("wconfd", 11), ("luxid", 11), ("rapi", 11), ("noded", 1), ("mond", 1)]
)
def test_a_start_that_waits_for_a_condition_is_answered(
    ganeti: Ganeti, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    """Directly, or by way of something else that waits for it."""
    waits = reason("waiting", "waits for x", names=["ganeti", "ganeti-target"])
    held = reason("waiting", "waits for y", names=["ganeti-config"])
    why = reason("waiting", "waits until ready (path): no such file")
    is_so(
        ganeti,
        stopped(f"ganeti-{name}", reason=waits),
        service("ganeti", kind="target"),
        stopped("ganeti-target", reason=held),
        service("ganeti-config", kind="condition", state="starting", reason=why),
    )
    ganeti.virtsupd.answers["Start"] = [SILENCE]
    assert ganeti.runs("start", f"ganeti-{name}") == code
    expected = f"daemon-util: ganeti-{name} waits for ganeti-config: {why['text']}\n"
    assert capsys.readouterr().err == expected


def test_a_daemon_that_ends_before_it_is_ready_is_not_waited_for_while_it_is_tried_again(
    ganeti: Ganeti, capsys: pytest.CaptureFixture[str]
) -> None:
    again = reason("backing-off", "exited with code 4; starts again by itself")
    is_so(ganeti, stopped("ganeti-luxid", reason=again, last_exit=exited(4)))
    ganeti.virtsupd.answers["Start"] = [SILENCE]
    assert ganeti.runs("start", "ganeti-luxid") == 4
    assert "ganeti-luxid: exited with code 4" in capsys.readouterr().err


@pytest.mark.parametrize(
    "seen",
    [
        service("ganeti-luxid", state="starting", reason=reason("waiting", "until ready")),
        stopped("ganeti-luxid", reason=reason("waiting", "waits", names=["ganeti-noded"])),
        stopped("ganeti-luxid", reason=reason("backing-off", "x"), last_exit=exited(4, at=1.0)),
    ],
)
def test_a_daemon_that_is_on_its_way_is_waited_for(ganeti: Ganeti, seen: dict[str, Any]) -> None:
    noded = service("ganeti-noded", state="starting")
    is_so(ganeti, seen, noded)

    def once_it_was_looked_at(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        ganeti.virtsupd.called.clear()
        assert ganeti.virtsupd.called.wait(10), "nobody looked"
        yield reports(("x", "done", ""))

    ganeti.virtsupd.answers["Start"] = once_it_was_looked_at
    assert ganeti.runs("start", "ganeti-luxid") == 0


def test_all_are_started_in_order_and_one_that_is_for_the_master_is_no_error(
    ganeti: Ganeti,
) -> None:
    is_so(ganeti, *(stopped(f"ganeti-{name}", last_exit=exited(11)) for name in NAMES))

    def answer(parameters: dict[str, Any]) -> list[dict[str, Any]]:
        is_masters = parameters["names"][0] in ("ganeti-wconfd", "ganeti-luxid", "ganeti-rapi")
        return [reports(("x", "not-needed" if is_masters else "done", ""))]

    ganeti.virtsupd.answers["Start"] = answer
    assert ganeti.runs("start-all") == 0
    starts = [words for words in ganeti.asked() if words.startswith("Start ")]
    assert starts == [f"Start ganeti-{name}" for name in NAMES]


def test_a_real_error_ends_the_start_of_all(
    ganeti: Ganeti, capsys: pytest.CaptureFixture[str]
) -> None:
    is_so(ganeti, stopped("ganeti-noded", last_exit=exited(5)))
    results(ganeti, "Start", "failed")
    assert ganeti.runs("start-all") == 1
    assert ganeti.asked() == ["Start ganeti-noded", "Status ganeti-noded"]
    assert capsys.readouterr().err.endswith("daemon-util: ganeti-noded: exit code 5\n")


def test_what_a_cluster_does_without_need_not_be_configured(ganeti: Ganeti) -> None:
    is_missing(ganeti, "Start", "ganeti-kvmd", "ganeti-mond")
    assert ganeti.runs("start-all") == 0
    is_missing(ganeti, "Start", "ganeti-confd")
    assert ganeti.runs("start-all") == 1


def test_the_start_of_the_master_ends_with_the_first_that_does_not_come(ganeti: Ganeti) -> None:
    assert ganeti.runs("start-master") == 0
    assert ganeti.asked() == ["Start ganeti-wconfd", "Start ganeti-rapi", "Start ganeti-luxid"]
    ganeti.virtsupd.calls.clear()
    is_so(ganeti, stopped("ganeti-wconfd", last_exit=exited(11)))
    results(ganeti, "Start", "not-needed")
    assert ganeti.runs("start-master") == 11
    assert ganeti.asked() == ["Start ganeti-wconfd", "Status ganeti-wconfd"]


# Stopping and checking


@pytest.mark.parametrize(("result", "code"), [("done", 0), ("already", 0), ("failed", 1)])
def test_a_stop(ganeti: Ganeti, result: str, code: int) -> None:
    results(ganeti, "Stop", result)
    assert ganeti.runs("stop", "ganeti-metad") == code
    assert ganeti.asked() == ["Stop ganeti-metad"]


def test_what_is_not_configured_is_stopped(ganeti: Ganeti) -> None:
    ganeti.virtsupd.answers["Stop"] = missing
    assert ganeti.runs("stop", "ganeti-mond") == 0


@pytest.mark.parametrize(
    ("verb", "names"),
    [
        ("stop-all", ["metad", "mond", "kvmd", "luxid", "rapi", "wconfd", "confd", "noded"]),
        ("stop-master", ["luxid", "rapi", "wconfd"]),
    ],
)
def test_groups_are_stopped_in_order_also_if_one_refuses(
    ganeti: Ganeti, verb: str, names: list[str]
) -> None:
    assert ganeti.runs(verb) == 0
    assert ganeti.asked() == [f"Stop ganeti-{name}" for name in names]
    results(ganeti, "Stop", "failed")
    ganeti.virtsupd.calls.clear()
    assert ganeti.runs(verb) == 1
    assert len(ganeti.asked()) == len(names)


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (service("ganeti-noded"), 0),
        (service("ganeti-noded", state="starting"), 0),
        (service("ganeti-noded", state="starting", pid=None), 1),
        (service("ganeti-noded", state="stopping"), 1),
        (stopped("ganeti-noded"), 1),
        (service("other"), 1),
    ],
)
def test_a_check_and_what_is_started_by_it(ganeti: Ganeti, seen: dict[str, Any], code: int) -> None:
    is_so(ganeti, seen)
    assert ganeti.runs("check", "ganeti-noded") == code
    ganeti.virtsupd.calls.clear()
    assert ganeti.runs("check-and-start", "ganeti-noded") == 0
    assert ("Start ganeti-noded" in ganeti.asked()) is bool(code)


# Without virtsupd


@pytest.mark.parametrize(
    ("words", "code", "out"),
    [
        (["list-start-daemons"], 0, "".join(f"ganeti-{name}\n" for name in NAMES)),
        (
            ["list-stop-daemons"],
            0,
            "ganeti-metad\n" + "".join(f"ganeti-{name}\n" for name in reversed(NAMES)),
        ),
        (["is-daemon-name", "ganeti-luxid"], 0, ""),
        (["is-daemon-name", "luxid"], 1, ""),
        (["is-daemon-name", "ganeti-x"], 1, ""),
        (["is-daemon-name"], 1, ""),
        (["daemon-pidfile", "ganeti-confd"], 0, "/var/run/ganeti/ganeti-confd.pid\n"),
        (["daemon-executable", "ganeti-confd"], 0, "/usr/sbin/ganeti-confd\n"),
        (["check-exitcode", "0"], 0, ""),
        (["check-exitcode", "11"], 0, "not master\n"),
        (["check-exitcode", "7"], 1, "exit code 7\n"),
        (["check-exitcode"], 1, ""),
        (["start"], 1, ""),
        (["start", "cron"], 1, ""),
        (["stop", "ganeti-cron"], 1, ""),
        ([], 1, ""),
        (["restart", "ganeti-noded"], 1, ""),
        (["start_all"], 1, ""),
    ],
)
def test_what_needs_no_virtsupd(
    ganeti: Ganeti, capsys: pytest.CaptureFixture[str], words: list[str], code: int, out: str
) -> None:
    assert ganeti.runs(*words) == code
    told = capsys.readouterr()
    assert told.out == out
    assert bool(told.err) is bool(code and not out)
    assert ganeti.virtsupd.calls == []


def test_a_verb_that_is_none_is_named(ganeti: Ganeti, capsys: pytest.CaptureFixture[str]) -> None:
    ganeti.runs("_start")
    ganeti.runs()
    assert capsys.readouterr().err.splitlines() == [
        "daemon-util: Unknown command: _start",
        "daemon-util: Usage: daemon-util <action>",
    ]


def test_a_host_is_a_node_when_its_certificate_is_there(
    ganeti: Ganeti, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate = ganeti.path / "server.pem"
    assert ganeti.runs("check-config") == 1
    assert f"Missing configuration file {certificate}" in capsys.readouterr().err
    certificate.mkdir()
    assert ganeti.runs("check-config") == 1
    certificate.rmdir()
    certificate.touch()
    assert ganeti.runs("check-config") == 0


# Logs and keys


@pytest.mark.parametrize("name", ["noded", "rapi"])
def test_the_logs_of_daemons_in_python_are_opened_anew(ganeti: Ganeti, name: str) -> None:
    assert ganeti.runs("rotate-logs", f"ganeti-{name}") == 0
    assert ganeti.asked() == [f"Status ganeti-{name}", f"ReloadService ganeti-{name}"]
    results(ganeti, "ReloadService", "failed")
    assert ganeti.runs("rotate-logs", f"ganeti-{name}") == 1


def test_one_that_is_down_has_no_logs_to_open(ganeti: Ganeti) -> None:
    is_so(ganeti, stopped("ganeti-noded"))
    assert ganeti.runs("rotate-logs", "ganeti-noded") == 0
    assert ganeti.asked() == ["Status ganeti-noded"]


@pytest.mark.parametrize("name", ["confd", "wconfd", "luxid", "kvmd", "mond", "metad"])
def test_the_daemons_in_haskell_are_left_alone(ganeti: Ganeti, name: str) -> None:
    assert ganeti.runs("rotate-logs", f"ganeti-{name}") == 0
    assert ganeti.asked() == []


def test_all_logs_are_those_of_the_daemons_in_python(ganeti: Ganeti) -> None:
    assert ganeti.runs("rotate-all-logs") == 0
    assert [words for words in ganeti.asked() if words.startswith("Reload")] == [
        "ReloadService ganeti-noded",
        "ReloadService ganeti-rapi",
    ]


def test_the_ssh_server_reads_its_keys_or_is_restarted(
    ganeti: Ganeti, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ganeti.runs("reload-ssh-keys") == 0
    assert "no service is named as the SSH server" in capsys.readouterr().err
    ganeti.ssh = "sshd"
    assert ganeti.runs("reload-ssh-keys") == 0
    assert ganeti.asked() == ["ReloadService sshd"]
    results(ganeti, "ReloadService", "failed")
    assert ganeti.runs("reload-ssh-keys") == 0
    assert ganeti.asked()[-1] == "Restart sshd"
    results(ganeti, "Restart", "failed")
    assert ganeti.runs("reload-ssh-keys") == 1


# virtsupd that is not there


@pytest.mark.parametrize(
    "words", [["start", "ganeti-noded"], ["stop", "ganeti-noded"], ["start-all"], ["stop-all"]]
)
def test_without_virtsupd_nothing_is_done_and_the_message_says_where_it_is_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with fake_supervisor(tmp_path / "s") as virtsupd:
        ganeti = Ganeti(virtsupd, tmp_path)
        virtsupd.path = tmp_path / "gone"
        assert ganeti.runs(*words) == 1
    text = capsys.readouterr().err
    told = f"cannot be reached at {tmp_path}/gone: No such file or directory; nothing was done"
    assert text.count(told) == 1
    assert len(text.splitlines()) == 1


def test_a_refusal_is_told(ganeti: Ganeti, capsys: pytest.CaptureFixture[str]) -> None:
    for error, text in (
        ({"error": "PermissionDenied", "message": "start needs role admin"}, "needs role admin"),
        ({"error": "ShuttingDown"}, "virtsupd answered ShuttingDown"),
    ):
        ganeti.virtsupd.answers["Start"] = [error]
        assert ganeti.runs("start", "ganeti-noded") == 1
        assert text in capsys.readouterr().err


@pytest.mark.parametrize("method", ["Start", "Stop"])
@pytest.mark.parametrize("first", [HANG_UP, {"error": "Reexecuting"}])
def test_when_virtsupd_becomes_another_program_that_is_asked(
    ganeti: Ganeti, method: str, first: dict[str, Any]
) -> None:
    def answer(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if len(ganeti.virtsupd.calls) == 1:
            yield first
            yield HANG_UP
        yield reports(("x", "done", ""))

    ganeti.virtsupd.answers[method] = answer
    assert ganeti.runs(method.lower(), "ganeti-noded") == 0
    assert ganeti.asked() == [f"{method} ganeti-noded"] * 2


def test_one_that_always_hangs_up_is_not_asked_for_ever(
    ganeti: Ganeti, capsys: pytest.CaptureFixture[str]
) -> None:
    ganeti.virtsupd.answers["Stop"] = [HANG_UP]
    assert ganeti.runs("stop", "ganeti-noded") == 1
    assert "virtsupd ended while it was asked" in capsys.readouterr().err
