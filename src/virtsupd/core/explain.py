"""Why a service is as it is: what holds it back, the reason in words, and its snapshot."""

from enum import StrEnum
from typing import assert_never

from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name
from virtsupd.core.service import RestKind, Service
from virtsupd.core.shutdown import goes_after
from virtsupd.core.snapshot import Reason, ReasonKind, ServiceSnapshot, State, TimerView
from virtsupd.core.spec import StopMode
from virtsupd.core.state import HostState, is_held


class HoldKind(StrEnum):
    """What keeps a stopped service from starting."""

    UNWANTED = "unwanted"
    DISABLED = "disabled"
    RESTING = "resting"
    BACKING_OFF = "backing off"
    NEEDS = "needs"
    RIVALS = "rivals"
    ORDER = "order"


@frozen
class Hold:
    """The first thing that keeps a stopped service from starting, and the services it is about."""

    kind: HoldKind
    names: tuple[Name, ...] = ()


IS_DISABLED = "disabled; virtsupctl enable makes it startable"

_REST_KINDS = {
    RestKind.FAILED: ReasonKind.FAILED,
    RestKind.FINISHED: ReasonKind.FINISHED,
    RestKind.NOT_NEEDED: ReasonKind.NOT_NEEDED,
    RestKind.ELSEWHERE: ReasonKind.FINISHED,
}


_HELD_BY = {
    HoldKind.NEEDS: "waits for",
    HoldKind.RIVALS: "conflicts with",
    HoldKind.ORDER: "starts after",
}


def hold(host: HostState, service: Service) -> Hold | None:
    """Return what keeps a stopped service from starting; None: nothing does."""
    if not host.is_wanted(service):
        return Hold(HoldKind.UNWANTED)
    if not service.enabled:
        return Hold(HoldKind.DISABLED)
    if service.rest is not None:
        return Hold(HoldKind.RESTING)
    if service.retry_at is not None:
        return Hold(HoldKind.BACKING_OFF)
    return _held_by_others(host, service.spec.name)


def _held_by_others(host: HostState, name: Name) -> Hold | None:
    graph = host.graph
    unmet = tuple(
        n for n in graph.needs[name] if n in host.sought or not host.services[n].view.is_satisfied
    )
    if unmet:
        return Hold(HoldKind.NEEDS, unmet)
    rivals = tuple(n for n in graph.conflicts[name] if host.is_there(host.services[n]))
    if rivals:
        return Hold(HoldKind.RIVALS, rivals)
    earlier = tuple(n for n in graph.earlier[name] if host.services[n].view.is_coming)
    return Hold(HoldKind.ORDER, earlier) if earlier else None


def stops_after(host: HostState, service: Service) -> tuple[Name, ...]:
    """Return what has to be gone before a service that is to stop may do so."""
    name = service.spec.name
    ahead = goes_after(host, name)
    if ahead:
        return ahead
    behind = dict.fromkeys((*host.graph.needed_by[name], *host.graph.later[name]))
    return tuple(other for other in behind if goes_first(host, host.services[other]))


def goes_first(host: HostState, other: Service) -> bool:
    """Tell whether a service is on its way down, and may yet get there, or is yet to be cleaned up."""
    if other.state is State.STOPPED:
        return host.is_to_be_cleaned(other)
    return (other.is_up and other.view.must_stop) or (
        other.state is State.STOPPING and not other.is_stuck
    )


def reason(host: HostState, service: Service) -> Reason | None:
    """Return why the service is not simply running or stopped as asked; None if it is."""
    match service.state:
        case State.STOPPED:
            return _why_stopped(host, service)
        case State.STARTING:
            return _why_starting(service)
        case State.RUNNING:
            return _why_not_well(host, service)
        case State.STOPPING:
            return _why_stopping(service)
        case _:
            assert_never(service.state)


def _why_stopped(host: HostState, service: Service) -> Reason | None:
    found = hold(host, service)
    if found is None:
        return None
    match found.kind:
        case HoldKind.UNWANTED | HoldKind.DISABLED:
            return _why_down(host, service)
        case HoldKind.RESTING:
            return _why_resting(service)
        case HoldKind.BACKING_OFF:
            return _why_backing_off(service)
        case _:
            text = f"{_HELD_BY[found.kind]} {_listed(host, found.names)}"
            return Reason(ReasonKind.WAITING, text, names=found.names)


def _why_down(host: HostState, service: Service) -> Reason | None:
    if not service.enabled:
        return Reason(ReasonKind.DISABLED, IS_DISABLED)
    if host.is_shutting_down:
        return None
    if service.wanted_by:
        return Reason(ReasonKind.STOPPED_BY_OPERATOR, f"stopped by {service.wanted_by}")
    return Reason(ReasonKind.NOT_AUTOSTARTED, "not started at boot (autostart = false)")


def _why_resting(service: Service) -> Reason | None:
    rest = service.rest
    return Reason(_REST_KINDS[rest.kind], rest.text) if rest is not None else None


def _why_backing_off(service: Service) -> Reason:
    at = service.retry_at.wall if service.retry_at is not None else None
    return Reason(ReasonKind.BACKING_OFF, f"{service.setback}; starts again by itself", retry_at=at)


def _why_starting(service: Service) -> Reason | None:
    probe = service.origin.probe
    if not probe:
        seen = service.not_ready_because
        return Reason(ReasonKind.WAITING, seen) if seen else None
    seen = f": {service.not_ready_because}" if service.not_ready_because else ""
    seconds = service.start_seconds
    late = f" for more than {seconds:g} s" if service.is_late and seconds else ""
    return Reason(ReasonKind.WAITING, f"waits{late} until ready ({probe}){seen}")


def _why_not_well(host: HostState, service: Service) -> Reason | None:
    name = service.spec.name
    if service.unhealthy is not None:
        return Reason(ReasonKind.DEGRADED, f"health check: {service.unhealthy}")
    if service.output_trouble is not None:
        return Reason(ReasonKind.DEGRADED, f"output: {service.output_trouble}")
    unmet = tuple(n for n in host.graph.needs[name] if not host.services[n].view.is_satisfied)
    if unmet:
        return Reason(ReasonKind.DEGRADED, f"runs without {_listed(host, unmet)}", names=unmet)
    if service.timer is not None:
        return _why_not_firing(host, service)
    if service.adopted_at is not None and service.spec.stop.mode is StopMode.PROCESS:
        # Its children's orphans are another one's to reap: libvirtd stalls 40 s for each that is not.
        text = "taken over from an earlier virtsupd: until it is restarted, PID 1 reaps what its children leave"
        return Reason(ReasonKind.ADOPTED, text)
    return None


def _why_not_firing(host: HostState, service: Service) -> Reason | None:
    if service.job is not None and service.denied:
        return Reason(ReasonKind.DEGRADED, f"its job cannot be ended: {service.denied}")
    if service.is_job_stuck:
        text = "the processes of its job are still there after SIGKILL"
        return Reason(ReasonKind.DEGRADED, text)
    if is_held(host, service):
        return Reason(ReasonKind.HELD, "held: nothing fires until it is released")
    if service.job_failure is not None:
        return Reason(ReasonKind.DEGRADED, f"its last job {service.job_failure}")
    return None


def _why_stopping(service: Service) -> Reason | None:
    if service.denied:
        return Reason(ReasonKind.DEGRADED, f"cannot be ended: {service.denied}")
    if service.is_stuck:
        return Reason(ReasonKind.DEGRADED, service.stuck_text)
    if service.is_cleaning:
        why = _why_resting(service)
        kind = why.kind if why is not None else ReasonKind.WAITING
        words = [why.text] if why is not None else []
        return Reason(kind, "; ".join((*words, "takes away what it left behind")))
    if service.death is not None:
        return Reason(ReasonKind.WAITING, f"{service.death.text}; ends what it left behind")
    return None


def _listed(host: HostState, names: tuple[Name, ...]) -> str:
    return ", ".join(f"{name} ({_in_short(host, host.services[name])})" for name in names)


def _in_short(host: HostState, service: Service) -> str:
    """Say in a word or two how a service stands, without asking what that is due to in turn."""
    held = hold(host, service) if service.state is State.STOPPED else None
    if held is None:
        return str(service.state)
    match held.kind:
        case HoldKind.NEEDS | HoldKind.RIVALS | HoldKind.ORDER:
            return str(ReasonKind.WAITING)
        case _:
            found = _why_stopped(host, service)
            return str(found.kind) if found is not None else str(service.state)


def _timer(host: HostState, service: Service) -> TimerView:
    is_waiting = service.fires_at is not None and service.fires_at <= host.now.wall
    return TimerView(
        fires_at=None if is_waiting else service.fires_at,
        missed_at=service.fires_at if is_waiting else None,
        held_until=service.firings.held_until if is_held(host, service) else None,
        job=service.job,
        runs=service.runs,
        skipped=service.skipped,
        job_due=service.due.wall if service.job is not None and service.due is not None else None,
    )


def _not_cleaned(service: Service) -> tuple[str, ...]:
    why = service.not_cleaned
    return (f"its clean-up failed: {why}",) if why else ()


def _left_over(service: Service) -> tuple[str, ...]:
    """Say why something runs that is no service of the configuration."""
    if not service.is_left_over or not service.guard or service.is_removed:
        return ()
    table, name = service.guard, service.spec.name
    text = f"no longer configured (there is no [{table}]), and guests may depend on it"
    return (f"{text}: it runs on until somebody stops it: virtsupctl stop {name}",)


def snapshot(host: HostState, name: Name) -> ServiceSnapshot:
    """Return what `status` shows of one service."""
    service = host.services[name]
    return ServiceSnapshot(
        spec=service.spec,
        state=service.state,
        wanted=service.wanted,
        wanted_by=service.wanted_by,
        wanted_since=service.wanted_since,
        enabled=service.enabled,
        since=service.since,
        reason=reason(host, service),
        pid=service.pid,
        once=service.once,
        status_text=service.status_text,
        status_since=(service.said_at or None) if service.status_text else None,
        note=service.note if service.is_up else None,
        restarts=service.restarts,
        exits=service.exits,
        changes=service.changes,
        respawns=service.respawns,
        start_failures=service.start_failures,
        is_replacement_pending=service.has_replacement,
        is_reload_pending=service.has_unread,
        warnings=(*service.warnings, *_not_cleaned(service), *_left_over(service)),
        timer=_timer(host, service) if service.spec.timer is not None else None,
    )
