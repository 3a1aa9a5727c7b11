"""What a record says of each kind of service."""

from dataclasses import replace

import pytest
from tests.support.herd_services import (
    BACKING_OFF,
    BAD,
    DEPENDENT,
    FACTS,
    ONCE,
    SLEEPER,
    SNAPSHOTS,
    STARTING,
    STOPPING,
    TARGET,
)

from virtsupd.control.herd_records import action_descriptions, root_record, service_record
from virtsupd.control.sexp import Datum
from virtsupd.control.sexp_writer import write
from virtsupd.core.exits import ExitStatus
from virtsupd.core.jobs import Job, JobRun, Phase
from virtsupd.core.snapshot import ServiceSnapshot, TimerView
from virtsupd.core.spec import TimerSpec

FIELDS = [
    *["provides", "requires", "respawn?", "docstring", "enabled?", "running", "conflicts"],
    *["last-respawns", "status-changes", "startup-failures", "status", "one-shot?", "transient?"],
    *["respawn-limit", "respawn-delay", "actions", "exit-statuses", "recent-messages"],
    *["log-files", "pending-replacement?"],
]

SLEEPER_RECORD = (
    "(service (version 0) (provides (sleeper slumber)) (requires ()) (respawn? #t)"
    ' (docstring "Sleep for a long time.") (enabled? #t)'
    ' (running (process (version 0) (id 20195) (command ("sleep" "1000")))) (conflicts ())'
    " (last-respawns (1795360772 1795360771))"
    " (status-changes ((running . 1795360774) (starting . 1795360773)))"
    " (startup-failures ()) (status running) (one-shot? #f) (transient? #f)"
    " (respawn-limit (5 . 7)) (respawn-delay 0.1) (actions (poke reload))"
    " (exit-statuses ((768 . 1795360772) (9 . 1795360771))) (recent-messages ())"
    ' (log-files ("/log/sleep.log")) (pending-replacement? #f)'
    ' (wanted? #t) (wanted-by "boot") (failed? #f) (reason #f) (status-text "snoring")'
    ' (last-exit "exited with code 3") (restarts 2) (warnings ()))'
)


def fields(record: Datum) -> dict[str, str]:
    """Return the fields of a record as text, in order, the version left out."""
    assert isinstance(record, tuple)
    pairs = [entry for entry in record[2:] if isinstance(entry, tuple)]
    assert all(len(pair) == 2 for pair in pairs)
    return {write(pair[0]): write(pair[1]) for pair in pairs}


def test_a_record_has_the_letters_of_shepherd_1_0() -> None:
    assert write(service_record(SLEEPER)) == SLEEPER_RECORD


@pytest.mark.parametrize(
    "record", [*map(service_record, SNAPSHOTS), root_record(FACTS)], ids=lambda _: ""
)
def test_the_twenty_fields_come_first_and_in_order(record: Datum) -> None:
    assert list(fields(record))[:20] == FIELDS
    assert write(record).startswith("(service (version 0) (provides (")


@pytest.mark.parametrize(
    ("snapshot", "field", "value"),
    [
        (TARGET, "running", "#t"),
        (TARGET, "respawn?", "#f"),
        (TARGET, "log-files", "()"),
        (ONCE, "running", "#t"),
        (ONCE, "one-shot?", "#t"),
        (ONCE, "respawn?", "#f"),
        (STARTING, "status", "starting"),
        (STARTING, "running", '(process (version 0) (id 17) (command ("slow")))'),
        (STOPPING, "status", "stopping"),
        (STOPPING, "transient?", "#t"),
        (DEPENDENT, "running", "#f"),
        (DEPENDENT, "status", "stopped"),
        (DEPENDENT, "requires", "(slumber)"),
        (DEPENDENT, "respawn?", "#f"),
        (DEPENDENT, "respawn-limit", "(0 . 0)"),
        (DEPENDENT, "respawn-delay", "0"),
        (DEPENDENT, "startup-failures", "()"),
        (DEPENDENT, "reason", '(stopped-by-operator "root stopped it" #f ())'),
        (BAD, "status", "stopped"),
        (BAD, "failed?", "#t"),
        (BAD, "requires", "(sleeper)"),
        (BAD, "startup-failures", "(1795360774)"),
        (BACKING_OFF, "enabled?", "#f"),
        (BACKING_OFF, "wanted?", "#t"),
        (BACKING_OFF, "startup-failures", "(1795360774 1795360765)"),
        (BACKING_OFF, "reason", '(backing-off "again in 3 s" 1795360777 (sleeper))'),
        (BACKING_OFF, "last-exit", "#f"),
    ],
)
def test_each_kind_of_service_is_told(snapshot: ServiceSnapshot, field: str, value: str) -> None:
    assert fields(service_record(snapshot))[field] == value


def test_only_known_requirements_are_named() -> None:
    assert fields(service_record(DEPENDENT, known={"slumber"}))["requires"] == "(slumber)"
    assert fields(service_record(DEPENDENT, known=set()))["requires"] == "()"


def test_log_files_and_recent_lines_come_from_the_caller() -> None:
    record = service_record(SLEEPER, log_files=["/a", "/a.1"], recent=[(9.9, "b"), (8.0, "a")])
    assert fields(record)["log-files"] == '("/a" "/a.1")'
    assert fields(record)["recent-messages"] == '((9 . "b") (8 . "a"))'


def test_a_pending_replacement_is_told() -> None:
    record = service_record(replace(SLEEPER, is_replacement_pending=True))
    assert fields(record)["pending-replacement?"] == "#t"


@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda snapshot: snapshot.spec.name)
def test_the_environment_is_never_shown(snapshot: ServiceSnapshot) -> None:
    text = write(service_record(snapshot))
    assert "PASSWORD" not in text
    assert "hunter2" not in text


def test_root_is_virtsupd_itself() -> None:
    record = fields(root_record(FACTS))
    assert record["provides"] == "(root shepherd)"
    assert record["status"] == "running"
    assert (
        '(id 812) (command ("virtsupd" "--config" "/etc/virtsupd/host.toml"))' in record["running"]
    )
    assert record["recent-messages"] == '((1795360774 . "no cgroups: read-only"))'
    assert record["virtsupd-version"] == '"0.1.0"'


def test_root_stops_while_it_shuts_down() -> None:
    assert fields(root_record(replace(FACTS, phase="shutting-down")))["status"] == "stopping"


def test_a_reloadable_service_has_the_action_reload() -> None:
    assert list(action_descriptions(SLEEPER.spec)) == ["poke", "reload"]
    assert action_descriptions(TARGET.spec) == {}


def test_a_line_of_output_commands_nobodys_terminal() -> None:
    record = service_record(SLEEPER, recent=[(1.5, "\x1b[2Jé\t\x07\x9b\x7f.")])
    shown = fields(record)["recent-messages"]
    assert shown == '((1 . "\ufffd[2Jé\\t\ufffd\ufffd\ufffd."))'


def test_an_armed_timer_has_the_value_of_shepherds() -> None:
    spec = replace(SLEEPER.spec, timer=TimerSpec(("02:30",)), actions=(), reload=None)
    runs = (JobRun(ExitStatus(code=3), 90.5, 91.5), JobRun(ExitStatus(), 80.0, 81.0))
    view = TimerView(2000.5, job=Job("its timer", 100.5, Phase.RUNNING), runs=runs)
    shown = fields(service_record(replace(SLEEPER, spec=spec, timer=view)))
    assert shown["running"] == (
        '(timer (version 0) (event #f) (action (command (version 0) (arguments ("sleep" "1000"))'
        " (user #f) (group #f) (supplementary-groups ()) (environment-variables ())"
        ' (directory "/") (resource-limits ()))) (processes ((20195 . 100)))'
        " (past-runs ((768 91 90))))"
    )
    assert shown["actions"] == "(trigger hold release)"
    assert shown["fires-at"] == "2000"
    idle = replace(SLEEPER, spec=spec, timer=TimerView(), pid=None)
    assert fields(service_record(idle))["fires-at"] == "#f"
    assert "(processes ())" in fields(service_record(idle))["running"]
