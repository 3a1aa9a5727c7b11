"""What a reload would do is told before it is done, and comes true when it is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.pure_host import CLEAN, NOTIFY, PureHost, process, service, target

from virtsupd.core.effects import Spawn, Terminate
from virtsupd.core.events import Reloaded
from virtsupd.core.exits import ExitStatus
from virtsupd.core.forecast import Fate
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State
from virtsupd.core.spec import Reload, Respawn, ServiceSpec

DB, WEB = Name("db"), Name("web")
READER = service("db", reload=Reload("SIGUSR1", files=("old",)))
OTHER_PROCESS = service("db", process=process("db", "--new"))


def fates(host: PureHost, *specs: ServiceSpec, spared: frozenset[Name] = frozenset()) -> list[str]:
    found = host.engine.forecast(Reloaded(ServiceGraph.build(specs), spared=spared))
    return [f"{name} {forecast.fate}" for name, forecast in found.items()]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([service("db")], [service("db")], "db unchanged"),
        ([service("db")], [service("db", description="x")], "db unchanged"),
        ([service("db")], [OTHER_PROCESS], "db pending"),
        ([service("db")], [service("db", ready=NOTIFY)], "db pending"),
        ([service("db")], [], "db stopped"),
        ([service("db", autostart=False)], [], "db forgotten"),
        ([], [service("db")], "db started"),
        ([], [service("db", autostart=False)], "db added"),
        ([service("db", autostart=False)], [service("db")], "db started"),
        (
            [service("db", autostart=False)],
            [replace(OTHER_PROCESS, autostart=False)],
            "db unchanged",
        ),
        ([READER], [replace(READER, reload=Reload("SIGUSR1", files=("new",)))], "db reloaded"),
        (
            [service("db", is_guest=True)],
            [service("db", is_guest=True, respawn=None)],
            "db unchanged",
        ),
    ],
)
def test_each_kind_of_change_is_told(
    before: list[ServiceSpec], after: list[ServiceSpec], expected: str
) -> None:
    host = PureHost.of(*before)
    assert fates(host, *after) == [expected]


def test_what_stops_and_starts_is_told_in_order() -> None:
    host = PureHost.of(
        service("db"),
        service("web", requires=["db"]),
        service("kept"),
        service("idle", autostart=False),
    )
    new = (service("kept"), service("low"), service("top", requires=["low"]))
    assert fates(host, *new) == [
        "web stopped",
        "db stopped",
        "low started",
        "top started",
        "idle forgotten",
        "kept unchanged",
    ]


def test_what_is_started_along_says_for_whom() -> None:
    host = PureHost.of(service("low", autostart=False))
    graph = ServiceGraph.build([service("low", autostart=False), service("top", requires=["low"])])
    found = host.engine.forecast(Reloaded(graph))
    assert (found[Name("low")].fate, found[Name("low")].for_others) == (Fate.STARTED, ("top",))
    assert found[Name("top")].for_others == ()


def test_what_falls_with_its_bond_is_told() -> None:
    host = PureHost.of(service("low", autostart=False), service("top"))
    graph = ServiceGraph.build(
        [service("low", autostart=False), service("top", binds_to=["low"], respawn=None)]
    )
    # It is started along: the bond holds in the end, and the service falls until then.
    assert host.engine.forecast(Reloaded(graph))[Name("top")].fate is Fate.STOPPED
    host.stop("low")
    told = host.engine.forecast(Reloaded(graph))[Name("top")]
    assert (told.fate, told.for_others, told.is_up) == (Fate.STOPPED, ("low",), True)


def test_a_spared_reader_is_unread() -> None:
    host = PureHost.of(READER)
    new = replace(READER, reload=Reload("SIGUSR1", files=("new",)))
    assert fates(host, new, spared=frozenset({DB})) == ["db unread"]


def test_what_was_pending_before_is_pending_still_and_what_is_taken_back_no_more() -> None:
    host = PureHost.of(service("db"))
    host.reload(OTHER_PROCESS)
    assert fates(host, OTHER_PROCESS) == ["db pending"]
    assert fates(host, service("db")) == ["db unchanged"]


def test_what_failed_and_changed_is_started() -> None:
    host = PureHost.of(service("db", respawn=None))
    host.exits("db")
    assert fates(host, service("db", respawn=None)) == ["db unchanged"]
    assert fates(host, service("db", respawn=Respawn())) == ["db started"]


def test_what_was_not_needed_is_asked_again() -> None:
    idle = service("db", not_needed_exit=frozenset({3}))
    host = PureHost.of(idle)
    host.exits("db", ExitStatus(code=3))
    assert fates(host, idle) == ["db asked"]


def test_what_the_operator_stopped_stays_so() -> None:
    host = PureHost.of(service("db"))
    host.stop("db")
    assert fates(host, OTHER_PROCESS) == ["db unchanged"]


def test_what_is_stopping_already_is_not_told_as_news() -> None:
    host = PureHost.of(service("db"), service("web"))
    host.stubborn.add("db")
    host.reload(service("web"))
    assert host.state("db") is State.STOPPING
    assert fates(host, service("web")) == ["db unchanged", "web unchanged"]


def test_a_forecast_changes_nothing() -> None:
    host = PureHost.of(service("db", respawn=None), service("web", requires=["db"]), READER_OF_ALL)
    host.exits("db", CLEAN)
    before = {name: host.engine.snapshot(name) for name in host.engine.names()}
    remembered = dict(host.remembered)
    host.effects.clear()
    fates(host, OTHER_PROCESS, target("new", requires=["db"]))
    assert {name: host.engine.snapshot(name) for name in host.engine.names()} == before
    assert host.remembered == remembered
    host.pass_time(0)
    host.reload(*host.specs)
    assert host.did() == []


READER_OF_ALL = service("all", reload=Reload("SIGUSR1", files=("old",)))
NAMES = ("a", "b", "c", "d")


@st.composite
def configurations(draw: st.DrawFn) -> list[ServiceSpec]:
    """Up to four services, each of which may need those before it."""
    names = [name for name in NAMES if draw(st.booleans())]
    return [
        service(
            name,
            process=process(name, *draw(st.sampled_from([(), ("-v",)]))),
            autostart=draw(st.booleans()),
            requires=[n for n in names[:place] if draw(st.booleans())],
            wants=[n for n in names[:place] if draw(st.booleans())],
        )
        for place, name in enumerate(names)
    ]


@given(configurations(), configurations(), st.sets(st.sampled_from(NAMES)))
def test_what_is_told_comes_true(
    before: list[ServiceSpec], after: list[ServiceSpec], stopped: set[str]
) -> None:
    host = PureHost.of(*before)
    for name in sorted(stopped & {spec.name for spec in before}):
        host.stop(name)
    told = host.engine.forecast(Reloaded(ServiceGraph.build(after)))
    host.effects.clear()
    assert host.reload(*after) == ()
    started = {effect.name for effect in host.effects if isinstance(effect, Spawn)}
    ended = {effect.name for effect in host.effects if isinstance(effect, Terminate)}
    assert started == {name for name, found in told.items() if found.fate is Fate.STARTED}
    assert ended == {name for name, found in told.items() if found.fate is Fate.STOPPED}
    pending = {n for n in host.engine.names() if host.engine.snapshot(n).is_replacement_pending}
    assert pending == {name for name, found in told.items() if found.fate is Fate.PENDING}
