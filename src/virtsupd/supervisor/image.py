"""The state of a service as JSON: what of it outlives virtsupd, beside its record.

Only what differs from a fresh service is written, and not whether it has left the configuration:
the successor's own tells. A reader takes what it knows and leaves the rest,
so that a newer version can add fields; one that changes the meaning of a field changes the version
of the records.
"""

from collections.abc import Callable, Mapping
from typing import Any

from virtsupd.core.domain import DomainSpec, GuestNote, GuestStop
from virtsupd.core.events import Instant
from virtsupd.core.exits import ExitStatus
from virtsupd.core.jobs import Job, JobRun, Phase
from virtsupd.core.machine import MachineSpec, MachineStopHow, SecretsSpec, StopStep
from virtsupd.core.made import Made
from virtsupd.core.names import Name
from virtsupd.core.restart import RespawnRecord
from virtsupd.core.service import Death, Rest, RestKind, Service
from virtsupd.core.snapshot import ExitRecord, State
from virtsupd.core.spec import CleanUp, ServiceSpec, Stop, StopMode

_TEXT_KEPT = 200
_PLAIN: Mapping[str, Callable[[Any], object]] = {
    "since": float,
    "generation": int,
    "wanted": bool,
    "wanted_by": str,
    "wanted_since": float,
    "is_marked": bool,
    "is_asked_again": bool,
    "is_to_reload": bool,
    "adopted_at": float,
    "setback": str,
    "is_undefined": bool,
    "rests_as": str,
    "pid": int,
    "ready_at": float,
    "restarts": int,
    "kills": int,
    "is_overdue": bool,
    "is_half_cleaned": bool,
    "said_at": float,
    "note": GuestNote,
    "unhealthy": str,
    "unhealthy_at": float,
    "denied": str,
    "not_cleaned": str,
    "job_failure": str,
    "skipped": int,
}
_LISTS: Mapping[str, Callable[[Any], object]] = {
    "warnings": str,
    "once": str,
    "respawns": float,
    "start_failures": float,
}
_FRESH = Service(ServiceSpec(Name("fresh"), ()))


def image(service: Service) -> dict[str, Any]:
    """Return what a successor has to know of a service's state."""
    content: dict[str, Any] = {"state": service.state.value}
    for name in _PLAIN:
        value = getattr(service, name)
        if value != getattr(_FRESH, name):
            content[name] = value
    for name in _LISTS:
        if value := getattr(service, name):
            content[name] = list(value)
    if service.status_text:
        content["status_text"] = service.status_text[:_TEXT_KEPT]
    if service.clean_up is not None:
        content["clean_up"] = [*service.clean_up.command, service.clean_up.timeout_seconds]
    if service.made is not None:
        content["made"] = _of_made(service.made)
    return content | _instants(service) | _history(service)


def _instants(service: Service) -> dict[str, Any]:
    found = {"retry_at": service.retry_at, "due": service.due}
    return {name: [at.monotonic, at.wall] for name, at in found.items() if at is not None}


def _history(service: Service) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if service.rest is not None:
        content["rest"] = [service.rest.kind.value, service.rest.text]
    if service.death is not None:
        rest = service.death.rest
        content["death"] = [service.death.text, *([rest.kind.value, rest.text] if rest else ())]
    if service.respawn_record != _FRESH.respawn_record:
        kept = service.respawn_record
        content["respawn_record"] = [list(kept.times), kept.streak, kept.unready]
    if service.exits:
        content["exits"] = [_of_exit(ended) for ended in service.exits]
    if service.job is not None:
        content["job"] = [service.job.cause, service.job.began, service.job.phase.value]
    if service.runs:
        content["runs"] = [[*_of_status(run.status), run.began, run.ended] for run in service.runs]
    if service.changes:
        content["changes"] = [[state.value, at] for state, at in service.changes]
    return content


def _of_made(made: Made) -> dict[str, Any]:
    flags = {
        name: True
        for name in ("is_stage", "forks", "one_shot", "is_timer", "has_sockets", "is_guest")
        if getattr(made, name)
    }
    stop = [made.stop.signal, made.stop.delay_seconds, made.stop.mode.value]
    found: dict[str, Any] = {"fingerprint": made.fingerprint, "probe": made.probe, "stop": stop}
    if made.domain is not None:
        found["domain"] = [made.domain.domain, made.domain.uri]
    if made.stop.how is not None:
        found["how"] = made.stop.how
    if made.machine is not None:
        found["machine"] = _of_machine(made.machine)
    if made.stop.steps:
        found["steps"] = [[step.how.value, step.seconds] for step in made.stop.steps]
    if made.guard:
        found["guard"] = made.guard
    if made.reread:
        found["reread"] = list(made.reread)
    return found | flags


def _of_machine(machine: MachineSpec) -> dict[str, Any]:
    secrets = machine.secrets
    return {
        "directory": machine.directory,
        "qmp": machine.qmp,
        "agent": machine.agent,
        "secrets": [secrets.port, secrets.root] if secrets is not None else None,
        "ssh_port": machine.ssh_port,
        "ports": list(machine.ports),
        "kvm": machine.kvm,
        "access_group": machine.access_group,
    }


def _of_exit(ended: ExitRecord) -> list[Any]:
    words = ended.status.words
    return [*_of_status(ended.status), ended.at, *([words] if words else ())]


def _of_status(status: ExitStatus) -> list[Any]:
    return [status.code, status.signal, status.dumped_core]


def service_of(spec: ServiceSpec, content: Mapping[str, Any]) -> Service:
    """Return the service that an image shows.

    Raises:
        KeyError, TypeError, ValueError: it is not one.
    """
    service = Service(spec, State(content["state"]))
    for name, plain in _PLAIN.items():
        if name in content:
            setattr(service, name, plain(content[name]))
    for name, element in _LISTS.items():
        setattr(service, name, tuple(map(element, content.get(name, ()))))
    service.status_text = str(content.get("status_text", ""))
    for name, read in _READERS.items():
        if name in content:
            setattr(service, name, read(content[name]))
    return service


def _made(content: Mapping[str, Any]) -> Made:
    return Made(
        fingerprint=str(content["fingerprint"]),
        probe=str(content["probe"]),
        is_stage=bool(content.get("is_stage")),
        forks=bool(content.get("forks")),
        one_shot=bool(content.get("one_shot")),
        is_timer=bool(content.get("is_timer")),
        has_sockets=bool(content.get("has_sockets")),
        is_guest=bool(content.get("is_guest")),
        guard=str(content.get("guard", "")),
        domain=DomainSpec(*map(str, content["domain"])) if "domain" in content else None,
        machine=_machine(content["machine"]) if "machine" in content else None,
        stop=_stop(content),
        reread=tuple(map(str, content.get("reread", ()))),
    )


def _machine(content: Mapping[str, Any]) -> MachineSpec:
    secrets, agent, port = content["secrets"], content["agent"], content["ssh_port"]
    return MachineSpec(
        directory=str(content["directory"]),
        qmp=str(content["qmp"]),
        agent=str(agent) if agent is not None else None,
        secrets=SecretsSpec(int(secrets[0]), secrets[1]) if secrets is not None else None,
        ssh_port=int(port) if port is not None else None,
        ports=tuple(map(int, content["ports"])),
        kvm=content["kvm"],
        access_group=content.get("access_group"),
    )


def _stop(content: Mapping[str, Any]) -> Stop:
    signal, delay, mode = content["stop"]
    how = content.get("how")
    steps = tuple(
        StopStep(MachineStopHow(step), float(seconds)) for step, seconds in content.get("steps", ())
    )
    guest_stop = GuestStop(how) if how else None
    return Stop(str(signal), float(delay), StopMode(mode), guest_stop, steps)


def _clean_up(content: list[Any]) -> CleanUp:
    *command, seconds = content
    return CleanUp(tuple(map(str, command)), float(seconds))


def _death(content: list[Any]) -> Death:
    text, *rest = content
    return Death(str(text), _rest(rest) if rest else None)


def _rest(content: list[Any]) -> Rest:
    kind, text = content
    return Rest(RestKind(kind), str(text))


def _respawn_record(content: list[Any]) -> RespawnRecord:
    times, streak, unready = content
    return RespawnRecord(tuple(map(float, times)), int(streak), int(unready))


def _exits(content: list[Any]) -> tuple[ExitRecord, ...]:
    return tuple(
        ExitRecord(ExitStatus(code, signal, dumped_core, *map(str, words)), float(at))
        for code, signal, dumped_core, at, *words in content
    )


def _job(content: list[Any]) -> Job:
    cause, began, phase = content
    return Job(str(cause), float(began), Phase(phase))


def _runs(content: list[Any]) -> tuple[JobRun, ...]:
    return tuple(
        JobRun(ExitStatus(code, signal, dumped_core), float(began), float(ended))
        for code, signal, dumped_core, began, ended in content
    )


def _changes(content: list[Any]) -> tuple[tuple[State, float], ...]:
    return tuple((State(state), float(at)) for state, at in content)


def _instant(content: list[Any]) -> Instant:
    monotonic, wall = content
    return Instant(float(monotonic), float(wall))


_READERS: Mapping[str, Callable[[Any], object]] = {
    "made": _made,
    "clean_up": _clean_up,
    "retry_at": _instant,
    "due": _instant,
    "rest": _rest,
    "death": _death,
    "respawn_record": _respawn_record,
    "exits": _exits,
    "changes": _changes,
    "job": _job,
    "runs": _runs,
}
