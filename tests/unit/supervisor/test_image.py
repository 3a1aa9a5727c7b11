"""The state of a service as JSON: whatever counts comes back as it was, and nonsense is refused."""

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtsupd.core.domain import DomainSpec, GuestNote, GuestStop
from virtsupd.core.events import Instant
from virtsupd.core.exits import ExitStatus
from virtsupd.core.jobs import Job, JobRun, Phase
from virtsupd.core.machine import MachineSpec, MachineStopHow, SecretsSpec, StopStep
from virtsupd.core.made import Made, made_from
from virtsupd.core.names import Name
from virtsupd.core.restart import RespawnRecord
from virtsupd.core.service import Death, Rest, RestKind, Service
from virtsupd.core.snapshot import ExitRecord, State
from virtsupd.core.spec import (
    CleanUp,
    LogSpec,
    NotifyProbe,
    PidFileProbe,
    ProcessSpec,
    Readiness,
    ServiceSpec,
    SocketSpec,
    Stop,
    StopMode,
)
from virtsupd.supervisor.image import image, service_of

SPEC = ServiceSpec(Name("web"), (Name("web"),))
COUNTING = {field.name for field in fields(Service) if field.compare} - {"is_removed"}
"""The successor's own configuration tells whether a service was removed from it."""

times = st.floats(min_value=0, max_value=2e9)
instants = st.builds(Instant, times, times)
rests = st.builds(Rest, st.sampled_from(RestKind), st.text())
counts = st.integers(0, 2**31)
statuses = st.one_of(
    st.just(ExitStatus()),
    st.builds(ExitStatus, code=st.integers(0, 255)),
    st.builds(ExitStatus, signal=st.integers(1, 64), dumped_core=st.booleans()),
)
ends = st.one_of(statuses, st.builds(ExitStatus, code=st.integers(0, 1), words=st.text(min_size=1)))
stops = st.builds(
    Stop,
    st.sampled_from(["SIGTERM", "SIGINT"]),
    times,
    st.sampled_from(StopMode),
    st.none() | st.sampled_from(GuestStop),
    st.lists(st.builds(StopStep, st.sampled_from(MachineStopHow), times)).map(tuple),
)
machines = st.builds(
    MachineSpec,
    st.text(),
    st.text(),
    st.none() | st.text(),
    st.none() | st.builds(SecretsSpec, counts, st.none() | st.text()),
    st.none() | counts,
    st.lists(counts).map(tuple),
    st.sampled_from([True, False, "auto"]),
)
domains = st.builds(DomainSpec, st.text(), st.text())
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "state": st.sampled_from(State),
    "since": times,
    "generation": counts,
    "made": st.none()
    | st.builds(
        Made,
        fingerprint=st.text(),
        probe=st.sampled_from(["", "notify", "pid-file"]),
        is_stage=st.booleans(),
        forks=st.booleans(),
        one_shot=st.booleans(),
        is_timer=st.booleans(),
        has_sockets=st.booleans(),
        is_guest=st.booleans(),
        guard=st.text(),
        domain=st.none() | domains,
        machine=st.none() | machines,
        stop=stops,
        reread=st.lists(st.text()).map(tuple),
    ),
    "adopted_at": st.none() | times,
    "due": st.none() | instants,
    "is_overdue": st.booleans(),
    "is_half_cleaned": st.booleans(),
    "is_undefined": st.booleans(),
    "wanted": st.booleans(),
    "wanted_by": st.text(),
    "wanted_since": times,
    "is_marked": st.booleans(),
    "rest": st.none() | rests,
    "is_asked_again": st.booleans(),
    "is_to_reload": st.booleans(),
    "retry_at": st.none() | instants,
    "setback": st.text(),
    "rests_as": st.text(),
    "death": st.none() | st.builds(Death, st.text(), st.none() | rests),
    "pid": st.none() | counts,
    "once": st.lists(st.text()).map(tuple),
    "ready_at": st.none() | times,
    "respawn_record": st.builds(RespawnRecord, st.lists(times).map(tuple), counts, counts),
    "restarts": counts,
    "kills": counts,
    "status_text": st.text(max_size=200),
    "said_at": times,
    "note": st.none() | st.sampled_from(GuestNote),
    "denied": st.text(),
    "clean_up": st.none() | st.builds(CleanUp, st.lists(st.text()).map(tuple), times),
    "not_cleaned": st.text(),
    "job": st.none() | st.builds(Job, st.text(), times, st.sampled_from(Phase)),
    "job_failure": st.none() | st.text(),
    "runs": st.lists(st.builds(JobRun, statuses, times, times)).map(tuple),
    "skipped": counts,
    "unhealthy": st.none() | st.text(),
    "unhealthy_at": times,
    "warnings": st.lists(st.text()).map(tuple),
    "exits": st.lists(st.builds(ExitRecord, ends, times)).map(tuple),
    "changes": st.lists(st.tuples(st.sampled_from(State), times)).map(tuple),
    "respawns": st.lists(times).map(tuple),
    "start_failures": st.lists(times).map(tuple),
}


def test_every_field_that_counts_is_tried() -> None:
    """A field that is added to Service has to be added here, and then to the image."""
    assert set(VALUES) == COUNTING


def test_every_field_of_what_is_nested_is_tried() -> None:
    made = {field.name for field in fields(Made)}
    assert made == {
        "fingerprint",
        "probe",
        "is_stage",
        "forks",
        "one_shot",
        "is_timer",
        "has_sockets",
        "is_guest",
        "guard",
        "domain",
        "machine",
        "stop",
        "reread",
    }
    shapes = (RespawnRecord, ExitRecord, ExitStatus, Death, Rest, Stop, Instant)
    assert [len(fields(shape)) for shape in shapes] == [3, 2, 4, 2, 2, 5, 2]


def read_back(service: Service) -> Service:
    return service_of(service.spec, json.loads(json.dumps(image(service))))


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_what_counts_comes_back_as_it_was(values: dict[str, Any]) -> None:
    service = Service(SPEC, **values)
    assert read_back(service) == service


@pytest.mark.parametrize("name", sorted(COUNTING))
@given(data=st.data())
def test_each_field_alone_comes_back(name: str, data: st.DataObject) -> None:
    service = Service(SPEC, **{name: data.draw(VALUES[name])})
    assert getattr(read_back(service), name) == getattr(service, name)


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        ServiceSpec(SPEC.name, SPEC.provides, one_shot=True, is_guest=True),
        ServiceSpec(
            SPEC.name,
            SPEC.provides,
            process=ProcessSpec(("x",), LogSpec(""), sockets=(SocketSpec("a", "@a"),)),
            ready=Readiness(NotifyProbe()),
            stop=Stop("SIGINT", 0.25, StopMode.PROCESS),
        ),
        ServiceSpec(SPEC.name, SPEC.provides, ready=Readiness(PidFileProbe("/run/x"))),
    ],
)
def test_what_a_process_was_made_from_comes_back(spec: ServiceSpec) -> None:
    service = Service(spec, State.RUNNING, made=made_from(spec))
    assert read_back(service).made == service.made
    assert not read_back(service).has_replacement


def test_a_long_status_text_is_cut() -> None:
    """What a service says of itself must not make its record as long as it likes."""
    assert read_back(Service(SPEC, status_text="x" * 5000)).status_text == "x" * 200


def test_a_fresh_service_is_short() -> None:
    assert image(Service(SPEC)) == {"state": "stopped"}


def test_what_a_newer_version_adds_is_ignored() -> None:
    service = Service(SPEC, State.RUNNING, pid=7, made=made_from(SPEC))
    content = image(service) | {"colour": "blue", "moods": [1]}
    content["made"]["weight"] = 3
    assert service_of(SPEC, content) == service


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        "running",
        {"state": "flying"},
        {"state": "running", "since": "long ago"},
        {"state": "running", "pid": [1]},
        {"state": "running", "made": {}},
        {"state": "running", "made": []},
        {"state": "running", "due": [1]},
        {"state": "running", "rest": ["asleep", "x"]},
        {"state": "running", "death": []},
        {"state": "running", "exits": [[1]]},
        {"state": "running", "exits": 1},
        {"state": "running", "changes": [["flying", 1]]},
        {"state": "running", "respawns": ["x"]},
        {"state": "running", "respawn_record": [1, 2, 3]},
    ],
)
def test_what_is_no_image_is_refused(content: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        service_of(SPEC, content)
