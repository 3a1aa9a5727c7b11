"""Every state can be explained: what holds a service back, in words that name the cause."""

import pytest
from tests.support.pure_host import CLEAN, NOTIFY, PureHost, service, target

from virtsupd.core.events import Verb
from virtsupd.core.exits import ExitStatus
from virtsupd.core.explain import Hold, HoldKind, reason
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.made import probe_name
from virtsupd.core.names import Name
from virtsupd.core.snapshot import ReasonKind
from virtsupd.core.spec import (
    BannerProbe,
    ExecProbe,
    HostCheck,
    HostProbe,
    LogLineProbe,
    NotifyProbe,
    PidFileProbe,
    Probe,
    Respawn,
    TcpProbe,
)
from virtsupd.core.state import HostState

DB = Name("db")


def test_what_is_as_it_should_be_needs_no_reason() -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"]))
    assert (host.reason("db"), host.reason("web")) == ("", "")


def test_what_is_not_started_at_boot_says_so() -> None:
    host = PureHost.of(service("db", autostart=False))
    assert host.reason("db") == "not-autostarted: not started at boot (autostart = false)"
    assert host.hold("db") == Hold(HoldKind.UNWANTED)


def test_who_stopped_it_is_named() -> None:
    host = PureHost.of(service("db"))
    host.stop("db")
    assert host.reason("db") == "stopped-by-operator: stopped by tester"


def test_what_is_disabled_says_how_to_go_on() -> None:
    host = PureHost.of(service("db", autostart=False))
    host.ask(Verb.DISABLE, "db")
    assert host.reason("db") == "disabled: disabled; virtsupctl enable makes it startable"
    host = PureHost.of(service("db"))
    host.ask(Verb.DISABLE, "db")
    host.exits("db")
    assert host.hold("db") == Hold(HoldKind.DISABLED)


def test_a_pause_says_what_for_and_until_when() -> None:
    host = PureHost.of(service("db", respawn=Respawn(delay_seconds=10)))
    host.exits("db", ExitStatus(3))
    found = host.engine.snapshot(DB).reason
    assert found is not None
    assert (found.kind, found.retry_at) == (ReasonKind.BACKING_OFF, host.now + 10)
    assert found.text == "exited with code 3; starts again by itself"
    assert host.hold("db") == Hold(HoldKind.BACKING_OFF)


def test_what_waits_names_all_it_waits_for_and_how_they_stand() -> None:
    host = PureHost.of(
        service("a", ready=NOTIFY),
        service("b", respawn=None),
        service("c", not_needed_exit=frozenset({7})),
        service("web", requires=["a", "b", "c"]),
    )
    host.exits("b", CLEAN)
    host.exits("c", ExitStatus(7))
    assert host.reason("web") == "waiting: waits for a (starting), b (finished)"
    found = host.engine.snapshot(Name("web")).reason
    assert found is not None
    assert found.names == ("a", "b")
    assert host.hold("web") == Hold(HoldKind.NEEDS, (Name("a"), Name("b")))


def test_what_waits_is_explained_however_much_lies_behind() -> None:
    """Twenty layers of four that all need all: 4 to the 20 ways down, and 2,000 steps in a row."""
    layers = [
        service(f"s{n}.{m}", requires=[f"s{n - 1}.{k}" for k in range(4)], ready=NOTIFY)
        if n
        else service(f"s0.{m}", ready=NOTIFY)
        for n in range(20)
        for m in range(4)
    ]
    chain = [service(f"c{n}", requires=[f"c{n - 1}"] if n else ["s19.0"]) for n in range(2000)]
    host = PureHost.of(*layers, *chain)
    assert host.reason("c1999") == "waiting: waits for c1998 (waiting)"
    waiting = ", ".join(f"s18.{m} (waiting)" for m in range(4))
    assert host.reason("s19.0") == f"waiting: waits for {waiting}"


def test_what_needs_a_service_that_stops_says_so() -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"]))
    host.stubborn.add("db")
    host.restart("db")
    assert host.reason("web") == "waiting: waits for db (stopping)"
    assert host.reason("db") == ""


def test_a_start_says_which_probe_it_waits_for() -> None:
    host = PureHost.of(service("db", ready=NOTIFY), target("net", ready=NOTIFY))
    assert host.reason("db") == "waiting: waits until ready (notify)"
    assert host.reason("net") == "waiting: waits until ready (notify)"


def test_a_start_without_a_probe_has_nothing_to_say() -> None:
    host = PureHost.of(service("db", autostart=False))
    host.held.add("db")
    host.start("db")
    assert (str(host.state("db")), host.reason("db")) == ("starting", "")


def test_what_is_about_to_start_needs_no_reason() -> None:
    """Asked before the loop has run, which the engine never does."""
    spec = service("db")
    host = HostState(ServiceGraph.build([spec]), {})
    host.add(spec).wanted = True
    assert reason(host, host.services[DB]) is None


def test_during_a_shutdown_being_down_needs_no_reason() -> None:
    host = PureHost.of(service("db"), service("off", autostart=False))
    host.ask(Verb.SHUTDOWN)
    assert (host.reason("db"), host.reason("off")) == ("", "")


@pytest.mark.parametrize(
    ("probe", "word"),
    [
        (NotifyProbe(), "notify"),
        (PidFileProbe("/run/db.pid"), "pid-file"),
        (LogLineProbe("ready"), "log-line"),
        (TcpProbe(80), "tcp"),
        (BannerProbe("^220", port=25), "banner"),
        (ExecProbe(("true",)), "exec"),
        (HostProbe(HostCheck.UDEV), "host"),
    ],
)
def test_probes_are_called_as_in_the_configuration(probe: Probe, word: str) -> None:
    assert probe_name(probe) == word


def test_a_snapshot_is_what_the_engine_knows() -> None:
    host = PureHost.of(service("db", respawn=Respawn(delay_seconds=0)))
    host.exits("db", ExitStatus(3))
    found = host.engine.snapshot(DB)
    assert found.spec == host.engine.graph.spec_by_name[DB]
    assert [str(state) for state, _ in found.changes] == [
        "running",
        "starting",
        "stopped",
        "stopping",
        "running",
        "starting",
    ]
    assert (found.wanted, found.wanted_by, found.enabled, found.restarts) == (True, "boot", True, 1)
    assert found.pid == host.processes[DB].pid
    assert len(found.respawns) == 1
    assert not found.has_failed
