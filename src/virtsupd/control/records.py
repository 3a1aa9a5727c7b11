"""Snapshots as the JSON records of org.virtsupd.Supervisor."""

import math
from collections.abc import Sequence
from dataclasses import asdict

from virtsupd.control.backend import Change, DaemonFacts
from virtsupd.control.plan import Plan, Step
from virtsupd.core.chain import Link
from virtsupd.core.effects import Report
from virtsupd.core.exits import ExitStatus, signal_name
from virtsupd.core.jobs import Job
from virtsupd.core.outlook import Next
from virtsupd.core.shutdown_view import ShutdownView, Waiting
from virtsupd.core.snapshot import ExitRecord, Reason, ServiceSnapshot, TimerView
from virtsupd.core.spec import ServiceSpec, TimerSpec


def service_record(snapshot: ServiceSnapshot) -> dict[str, object]:
    """Return type Service."""
    last, times, view = snapshot.last_exit, snapshot.spec.timer, snapshot.timer
    return {
        **_definition(snapshot.spec),
        "state": snapshot.state,
        "wanted": snapshot.wanted,
        "wanted_by": snapshot.wanted_by,
        "wanted_since": snapshot.wanted_since,
        "enabled": snapshot.enabled,
        "failed": snapshot.has_failed,
        "done": snapshot.is_done,
        "pid": snapshot.pid,
        "once": snapshot.once,
        "since": snapshot.since,
        "reason": None if snapshot.reason is None else _reason(snapshot.reason),
        "status_text": snapshot.status_text,
        "status_since": snapshot.status_since,
        "restarts": snapshot.restarts,
        "last_exit": None if last is None else _exit(last),
        "exits": [_exit(record) for record in snapshot.exits],
        "changes": [{"state": state, "at": at} for state, at in snapshot.changes],
        "replacement_pending": snapshot.is_replacement_pending,
        "reload_pending": snapshot.is_reload_pending,
        "warnings": snapshot.warnings,
        "timer": None if times is None or view is None else _timer(times, view),
    }


def daemon_record(facts: DaemonFacts) -> dict[str, object]:
    """Return type Daemon."""
    return {
        "pid": facts.pid,
        "version": facts.version,
        "since": facts.since,
        "config": facts.config,
        "socket": facts.socket,
        "phase": facts.phase,
        "warnings": facts.warnings,
        "reexecs": facts.reexecs,
        "shutdown": shutdown_record(facts.shutdown),
    }


def shutdown_record(found: ShutdownView | None) -> dict[str, object] | None:
    """Return type HostShutdown."""
    if found is None:
        return None
    return {
        "by": found.by,
        "since": found.since,
        "deadline": found.deadline,
        "phase": found.phase,
        "guests": found.guests,
        "guests_ended": found.guests_ended,
        "waits": [_waiting(waiting) for waiting in found.waits],
    }


def _waiting(found: Waiting) -> dict[str, object]:
    return {
        "name": found.name,
        "guest": found.is_guest,
        "host": found.host,
        "did": found.did,
        "due": found.due,
        "then": found.then,
    }


def plan_record(plan: Plan) -> dict[str, object]:
    """Return what Plan and Reload answer."""
    return {"steps": [_step(step) for step in plan.steps], "warnings": plan.warnings}


def _step(step: Step) -> dict[str, object]:
    return {
        "name": step.name,
        "kind": step.kind,
        "fate": step.fate,
        "new": step.is_new,
        "up": step.is_up,
        "told": step.is_told,
        "changed": step.is_changed,
        "keys": [asdict(key) for key in step.keys],
        "for_others": step.for_others,
        "command": step.command,
        "touches": step.touches,
        "guests": step.guests,
        "harms": step.harms,
    }


def report_record(report: Report) -> dict[str, object]:
    """Return type Report."""
    return {"name": report.name, "result": report.result, "message": report.message}


def link_record(link: Link, log: Sequence[str]) -> dict[str, object]:
    """Return type Link without its service."""
    return {
        "why": link.why,
        "since": link.since,
        "causes": link.causes,
        "next": _next(link.next),
        "needed_by": link.needed_by,
        "log": log,
    }


def event_time(change: Change, now: float) -> float:
    """Return when a change happened, on the wall clock.

    The snapshot knows it for exits and states; for the rest `now` has to do.
    """
    snapshot = change.snapshot
    if change.event == "service exited" and snapshot.last_exit is not None:
        return snapshot.last_exit.at
    is_entry = change.event in (f"service {snapshot.state}", "service failed")
    return snapshot.since if is_entry else now


def _definition(spec: ServiceSpec) -> dict[str, object]:
    process = spec.process
    return {
        "name": spec.name,
        "provides": spec.provides,
        "description": spec.description,
        "kind": kind(spec),
        "requires": spec.requires,
        "binds_to": spec.binds_to,
        "wants": spec.wants,
        "after": spec.after,
        "before": spec.before,
        "conflicts": spec.conflicts,
        "part_of": spec.part_of,
        "command": process.command if process else (),
        "domain": None if spec.domain is None else [spec.domain.domain, spec.domain.uri],
        "log_files": [process.log.file] if process and process.log.file else [],
        "actions": [
            {
                "name": action.name,
                "description": action.description,
                "interactive": action.is_interactive,
            }
            for action in spec.actions
        ],
        "transient": spec.transient,
        "respawn": spec.respawn is not None and not spec.is_stage,
        "stop_mode": spec.stop.mode,
        "source": spec.source,
    }


def _timer(spec: TimerSpec, view: TimerView) -> dict[str, object]:
    held_until = view.held_until
    is_for_good = held_until is not None and math.isinf(held_until)
    job = view.job
    return {
        "expressions": spec.expressions,
        "kind": spec.kind,
        "timezone": spec.timezone,
        "jitter": spec.jitter_seconds,
        "catch_up": None if math.isinf(spec.catch_up_seconds) else spec.catch_up_seconds,
        "timeout": spec.timeout_seconds or None,
        "fires_at": view.fires_at,
        "missed_at": view.missed_at,
        "held": held_until is not None,
        "held_until": None if is_for_good else held_until,
        "job": None if job is None else _job(job, view.job_due),
        "runs": [
            _status(run.status) | {"began": run.began, "ended": run.ended} for run in view.runs
        ],
        "skipped": view.skipped,
    }


def _job(job: Job, due: float | None) -> dict[str, object]:
    return {"cause": job.cause, "began": job.began, "phase": job.phase, "due": due}


def kind(spec: ServiceSpec) -> str:
    """Return what sort of service it is, in one word."""
    if spec.is_stage:
        return "target" if spec.ready.probe is None else "condition"
    if spec.is_guest:
        return "guest"
    if spec.timer is not None:
        return "timer"
    return "one-shot" if spec.one_shot else "service"


def _exit(record: ExitRecord) -> dict[str, object]:
    return _status(record.status) | {"at": record.at}


def _status(status: ExitStatus) -> dict[str, object]:
    return {
        "code": status.code,
        "signal": None if status.signal is None else signal_name(status.signal),
        "text": str(status),
    }


def _reason(reason: Reason) -> dict[str, object]:
    return {
        "kind": reason.kind,
        "text": reason.text,
        "retry_at": reason.retry_at,
        "names": reason.names,
    }


def _next(found: Next) -> dict[str, object]:
    return {
        "kind": found.kind,
        "text": found.text,
        "at": found.at,
        "then": found.then,
        "names": found.names,
        "command": found.command,
    }
