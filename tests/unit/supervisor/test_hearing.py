"""Who is believed on a notify socket, and in what."""

import os

import pytest

from virtsupd.core.events import BecameReady, HealthChanged, Told
from virtsupd.core.names import Name
from virtsupd.core.spec import LogSpec, NotifyProbe, ProcessSpec
from virtsupd.process.notify import NotifyMessage, Watchdog
from virtsupd.supervisor.hearing import told_by
from virtsupd.supervisor.runs import Run

WEB = Name("web")
GONE = 2**22 + 1
USER = 1000


def run_of(leader: int) -> Run:
    run = Run(WEB, 3, ProcessSpec(("x",), LogSpec("")), None, NotifyProbe(), leader=leader)
    run.uid = USER
    run.watchdog = Watchdog(10.0, 0.0)
    return run


def heard(run: Run, pid: int, uid: int = USER, /, **fields: str) -> list[object]:
    return list(told_by(run, NotifyMessage(pid, uid, fields), now=5.0))


async def test_the_service_is_heard_in_everything() -> None:
    run = run_of(os.getpid())
    fields = {"STATUS": "well", "STOPPING": "1", "RELOADING": "1", "READY": "1"}
    assert heard(run, os.getpid(), USER, WATCHDOG="trigger", **fields) == [
        HealthChanged(WEB, 3, "it said WATCHDOG=trigger"),
        Told(WEB, 3, "status", "well"),
        Told(WEB, 3, "stopping"),
        Told(WEB, 3, "reloading"),
        BecameReady(WEB, 3),
    ]


async def test_a_living_stranger_is_not_heard() -> None:
    assert heard(run_of(os.getpid()), os.getppid(), 0, READY="1") == []


@pytest.mark.parametrize(("uid", "is_heard"), [(0, True), (USER, True), (65534, False)])
async def test_a_sender_that_is_gone_is_known_by_its_user(uid: int, *, is_heard: bool) -> None:
    run = run_of(os.getpid())
    assert bool(heard(run, GONE, uid, STATUS="well", WATCHDOG="1")) == is_heard
    assert run.watchdog is not None
    assert run.watchdog.deadline == (15.0 if is_heard else 10.0)


async def test_a_sender_that_is_gone_can_do_no_harm() -> None:
    run = run_of(os.getpid())
    assert heard(run, GONE, READY="1", STOPPING="1", RELOADING="1") == []
    assert heard(run, GONE, WATCHDOG="trigger") == []
    assert heard(run, GONE, WATCHDOG_USEC="0") == []
    assert run.watchdog is not None
    assert run.watchdog.deadline == 10.0


async def test_ready_counts_only_where_it_is_waited_for() -> None:
    run = run_of(os.getpid())
    run.ready_probe, run.watchdog = None, None
    assert heard(run, os.getpid(), READY="1", WATCHDOG="1") == []
