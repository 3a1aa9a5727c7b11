"""Every record fits the interface's text."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from tests.support.hand_backend import link_of, shutdown_view, snapshot_of, spec_of

from virtsupd.control.backend import Change, DaemonFacts
from virtsupd.control.interface import NAME
from virtsupd.control.records import (
    daemon_record,
    event_time,
    kind,
    link_record,
    report_record,
    service_record,
)
from virtsupd.control.varlink import load_interface
from virtsupd.core.domain import DomainSpec
from virtsupd.core.effects import Report, Result
from virtsupd.core.exits import ExitStatus
from virtsupd.core.jobs import Job, JobRun, Phase
from virtsupd.core.names import Name
from virtsupd.core.snapshot import ExitRecord, Reason, ReasonKind, ServiceSnapshot, State, TimerView
from virtsupd.core.spec import (
    ActionSpec,
    LogSpec,
    PathProbe,
    ProcessSpec,
    Readiness,
    ServiceSpec,
    TimerSpec,
)

FULL = snapshot_of(
    spec_of(
        "web",
        process=ProcessSpec(command=("/bin/web", "-x"), log=LogSpec(file="/l/web.log")),
        requires=(Name("net"),),
        actions=(ActionSpec("poke", "Poke it."),),
    ),
    State.STOPPED,
    reason=Reason(ReasonKind.BACKING_OFF, "in 2 s", retry_at=1002.5, names=(Name("net"),)),
    exits=(ExitRecord(ExitStatus(signal=9), 1001.5), ExitRecord(ExitStatus(code=3), 1000.5)),
    changes=((State.STOPPED, 1001.5), (State.RUNNING, 1000.5)),
    warnings=("no cgroup",),
)
JOB = Job("root via herd", 1000.5, Phase.RUNNING)
RUNS = (
    JobRun(ExitStatus(signal=9), 900.0, 901.5),
    JobRun(ExitStatus(code=0), 800.0, 800.5),
    JobRun(ExitStatus(), 700.0, 700.5),
)
TIMER = snapshot_of(
    spec_of("night", timer=TimerSpec(("30 2 * * *",), "cron", "UTC", 5.0, 1.0, 60.0, 30.0)),
    timer=TimerView(2000.5, None, 1500.5, JOB, RUNS, 3, 1060.5),
)
STAGE = snapshot_of(ServiceSpec(name=Name("user"), provides=(Name("user"),)), pid=None)


@pytest.mark.parametrize("snapshot", [FULL, STAGE, TIMER, snapshot_of(spec_of("plain"))])
def test_a_service_fits_its_type(snapshot: ServiceSnapshot) -> None:
    interface = load_interface(NAME)
    record = json.loads(json.dumps(service_record(snapshot)))
    interface.check(record, "Service")
    assert set(record) == set(interface.types["Service"].fields)


def test_what_a_timer_is_up_to() -> None:
    record: Any = service_record(TIMER)
    assert record["kind"] == "timer"
    timer = record["timer"]
    assert (timer["fires_at"], timer["held"], timer["held_until"]) == (2000.5, True, 1500.5)
    assert timer["job"] == {
        "cause": "root via herd",
        "began": 1000.5,
        "phase": "running",
        "due": 1060.5,
    }
    keys = ("timezone", "jitter", "catch_up", "timeout")
    assert [timer[key] for key in keys] == ["UTC", 5.0, 60.0, 30.0]
    assert [run["text"] for run in timer["runs"]] == [
        "ended by SIGKILL",
        "exited with code 0",
        "ended in an unknown way",
    ]


def test_a_timer_that_is_held_for_good_has_no_end_of_that() -> None:
    record: Any = service_record(replace(TIMER, timer=TimerView(held_until=math.inf)))
    assert (record["timer"]["held"], record["timer"]["held_until"]) == (True, None)


def test_what_a_service_says_of_its_last_end() -> None:
    record = service_record(FULL)
    assert record["last_exit"] == {
        "code": None,
        "signal": "SIGKILL",
        "text": "ended by SIGKILL",
        "at": 1001.5,
    }
    assert record["log_files"] == ["/l/web.log"]


def test_daemon_and_report_fit_their_types() -> None:
    interface = load_interface(NAME)
    facts = DaemonFacts(1, "0.1", 1.5, "/c", "/s", "running", ("no cgroups",))
    interface.check(json.loads(json.dumps(daemon_record(facts))), "Daemon")
    ending = replace(facts, shutdown=shutdown_view())
    record = json.loads(json.dumps(daemon_record(ending)))
    interface.check(record, "Daemon")
    assert record["shutdown"]["waits"][0]["host"] == "web"
    report = report_record(Report(Name("web"), Result.NOT_NEEDED, "why"))
    interface.check(json.loads(json.dumps(report)), "Report")


def test_a_link_fits_its_type() -> None:
    interface = load_interface(NAME)
    record = {**link_record(link_of(FULL, "net"), ["a line"]), "service": service_record(FULL)}
    interface.check(json.loads(json.dumps(record)), "Link")
    assert (record["causes"], record["log"]) == (("net",), ["a line"])


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        (spec_of("a"), "service"),
        (spec_of("a", one_shot=True), "one-shot"),
        (spec_of("a", is_guest=True), "guest"),
        (spec_of("a", process=None), "target"),
        (spec_of("a", process=None, ready=Readiness(PathProbe("/x"))), "condition"),
    ],
)
def test_kinds(spec: ServiceSpec, word: str) -> None:
    assert kind(spec) == word


@pytest.mark.parametrize(
    ("event", "at"),
    [
        ("service exited", 1001.5),
        ("service stopped", FULL.since),
        ("service failed", FULL.since),
        ("service reloaded", 5000.0),
        ("service running", 5000.0),
    ],
)
def test_an_event_has_the_time_that_its_service_knows(event: str, at: float) -> None:
    assert event_time(Change(event, FULL), 5000.0) == at
    assert event_time(Change("service exited", STAGE), 5000.0) == 5000.0


def test_a_guest_of_libvirt_has_a_domain_and_no_command() -> None:
    spec = ServiceSpec(Name("web"), (Name("web"),), domain=DomainSpec("web1"), is_guest=True)
    record = service_record(replace(FULL, spec=spec))
    assert (record["domain"], record["command"]) == (["web1", "qemu:///system"], ())
    assert (record["kind"], record["respawn"]) == ("guest", True)
