"""A definition as the text of a unit file: what is in force, whatever files it came from."""

from collections.abc import Iterator, Sequence
from typing import Final

from virtsupd.config.build import default_readiness, default_respawn
from virtsupd.config.toml_text import key_text, string_text, value_text
from virtsupd.core.domain import DomainSpec
from virtsupd.core.machine import MachineSpec, RungSpec
from virtsupd.core.spec import (
    ActionSpec,
    AgentProbe,
    BannerProbe,
    ExecProbe,
    ExitProbe,
    FdProbe,
    Health,
    HostProbe,
    HttpProbe,
    Limit,
    ListenProbe,
    LogLineProbe,
    LogSpec,
    MachineProbe,
    MountProbe,
    NotifyProbe,
    PathProbe,
    PidFileProbe,
    Probe,
    ProcessSpec,
    Readiness,
    Reload,
    Respawn,
    ServiceSpec,
    SocketProbe,
    SocketSpec,
    Stop,
    TcpProbe,
    TimerSpec,
)

Entry = tuple[str, object]
"""A key, and its value as TOML holds it."""

HIDDEN: Final = "(hidden)"
"""In place of a secret."""
_EDGES: Final = ("requires", "binds_to", "wants", "after", "before", "conflicts", "part_of")
_KINDS: Final[dict[type[Probe], str]] = {
    NotifyProbe: "notify",
    FdProbe: "fd",
    PidFileProbe: "pid-file",
    SocketProbe: "socket",
    ListenProbe: "listen",
    TcpProbe: "tcp",
    BannerProbe: "banner",
    HttpProbe: "http",
    ExecProbe: "exec",
    LogLineProbe: "log-line",
    ExitProbe: "exit",
    MountProbe: "mount",
    PathProbe: "path",
    HostProbe: "host",
    AgentProbe: "agent",
    MachineProbe: "machine",
}
_PROBE_KEYS: Final = (
    "fd variable url statuses command pattern expect port host path send file_system check status"
    " on pid_file"
)


def definition_text(spec: ServiceSpec, sources: Sequence[str]) -> str:
    """Return the definition as a unit file that would make it again, with its sources as comments.

    Values of secret variables are hidden; keys at their defaults are left out.
    """
    lines = [f"# {spec.name}"]
    lines += [f"# {'then' if place else 'from'} {_printable(s)}" for place, s in enumerate(sources)]
    lines += [f"{key_text(key)} = {value_text(value)}" for key, value in definition(spec)]
    return "\n".join(lines) + "\n"


def _printable(path: str) -> str:
    return path if path.isprintable() else string_text(path)


def definition(spec: ServiceSpec) -> Iterator[Entry]:
    """Yield the keys of the `[service.*]` table that makes this definition."""
    yield from _filled("description", spec.description)
    yield "provides", spec.provides
    for edge in _EDGES:
        yield from _filled(edge, getattr(spec, edge))
    if spec.process is not None:
        yield from _process(spec.process)
        yield from _policies(spec)
    if spec.domain is not None:
        yield "domain", _domain(spec.domain)
        yield from _filled("health", dict(_health(spec.health)) if spec.health else {})
        yield "stop", {"how": str(spec.stop.how), "delay": spec.stop.delay_seconds}
    if not spec.is_stage or spec.ready.probe is not None:
        yield from _respawning(spec)
    ready = _ready(spec.ready, is_domain=spec.domain is not None)
    if ready is not None and not (spec.one_shot and ready == "exit"):
        yield "ready", ready
    if not spec.autostart:
        yield "autostart", False
    yield from _filled("actions", {item.name: dict(_action(item)) for item in spec.actions})


def _process(process: ProcessSpec) -> Iterator[Entry]:
    plain = ProcessSpec(command=(), log=process.log)
    yield "command", process.command
    yield from _unlike(process, plain, "user", "group", "supplementary_groups", "directory")
    yield from _unlike(process, plain, "capabilities", "no_new_privileges")
    yield from _unlike(process, plain, "oom_score_adjust", "nice")
    if process.umask != plain.umask:
        yield "umask", f"{process.umask:03o}"
    yield from _filled("environment", _environment(process))
    yield from _filled("environment_file", process.environment_files)
    yield from _filled("limits", {limit.name: _limit(limit) for limit in process.limits})
    yield from _filled("sockets", [dict(_socket(socket)) for socket in process.sockets])
    if process.machine is not None:
        yield "machine", dict(_machine(process.machine))
    yield "log", dict(_log(process.log)) if process.log.file else False


def _machine(machine: MachineSpec) -> Iterator[Entry]:
    yield from (("directory", machine.directory), ("qmp", machine.qmp))
    yield from _filled("agent", machine.agent)
    if machine.secrets is not None:
        root = _filled("root", machine.secrets.root)
        yield "secrets", dict((("port", machine.secrets.port), *root))
    yield from _filled("ssh_port", machine.ssh_port)
    yield from _filled("ports", machine.ports)
    yield "kvm", machine.kvm
    yield from _filled("access_group", machine.access_group)


def _domain(domain: DomainSpec) -> object:
    plain = DomainSpec(domain.domain)
    return domain.domain if domain == plain else {"name": domain.domain, "uri": domain.uri}


def _policies(spec: ServiceSpec) -> Iterator[Entry]:
    yield from _filled("health", dict(_health(spec.health)) if spec.health else {})
    if spec.stop != Stop():
        yield "stop", dict(_stop(spec.stop))
    yield from _filled("reload", dict(_reload(spec.reload)) if spec.reload else {})
    if spec.prepare is not None:
        command, seconds = spec.prepare.command, spec.prepare.timeout_seconds
        yield "prepare", {"command": command, "timeout": seconds}
    if spec.clean_up is not None:
        command, seconds = spec.clean_up.command, spec.clean_up.timeout_seconds
        yield "clean_up", {"command": command, "timeout": seconds}
    yield from _filled("timer", dict(_timer(spec.timer)) if spec.timer else {})
    plain = ServiceSpec(spec.name, spec.provides)
    yield from _unlike(spec, plain, "one_shot", "transient")
    yield from _filled("guest", spec.is_guest)
    if spec.success_exit != plain.success_exit:
        yield "success_exit", sorted(spec.success_exit)
    yield from _filled("not_needed_exit", sorted(spec.not_needed_exit))


def _respawning(spec: ServiceSpec) -> Iterator[Entry]:
    is_machine = spec.process is not None and spec.process.machine is not None
    plain = default_respawn(is_domain=spec.domain is not None, is_machine=is_machine)
    if spec.respawn != (None if spec.one_shot or spec.timer else plain):
        yield "respawn", dict(_respawn(spec.respawn, plain)) if spec.respawn else False


def _unlike(subject: object, plain: object, *keys: str) -> Iterator[Entry]:
    """Yield those attributes in which `subject` differs from `plain`."""
    for key in keys:
        value = getattr(subject, key)
        if value != getattr(plain, key):
            yield key, value


def _filled(key: str, value: object) -> Iterator[Entry]:
    if value:
        yield key, value


def _environment(process: ProcessSpec) -> dict[str, str]:
    hidden = process.secret_environment
    return {key: HIDDEN if key in hidden else value for key, value in process.environment}


def _limit(limit: Limit) -> object:
    soft, hard = (("infinity" if item is None else item) for item in (limit.soft, limit.hard))
    return soft if soft == hard else [soft, hard]


def _socket(socket: SocketSpec) -> Iterator[Entry]:
    plain = SocketSpec(name=socket.name, listen=socket.listen)
    yield from (("listen", socket.listen), ("name", socket.name))
    yield from _unlike(socket, plain, "type", "owner", "group", "backlog")
    if socket.mode != plain.mode:
        yield "mode", f"{socket.mode:04o}"


def _log(log: LogSpec) -> Iterator[Entry]:
    plain = LogSpec(file=log.file)
    yield "file", log.file
    if log.max_size_bytes != plain.max_size_bytes:
        yield "max_size", log.max_size_bytes
    if log.max_age_seconds != plain.max_age_seconds:
        yield "max_age", log.max_age_seconds
    yield from _unlike(log, plain, "keep", "compress", "on_full")
    if log.mode != plain.mode:
        yield "mode", f"{log.mode:04o}"


def _respawn(respawn: Respawn, plain: Respawn) -> Iterator[Entry]:
    yield "delay", respawn.delay_seconds
    yield "factor", respawn.factor
    yield "max_delay", respawn.max_delay_seconds
    yield "limit", respawn.limit
    yield "window", respawn.window_seconds
    if respawn.only_failures != plain.only_failures:
        yield "on", "failure" if respawn.only_failures else "end"


def _stop(stop: Stop) -> Iterator[Entry]:
    if stop.steps:
        steps = [{"how": str(step.how), "time": step.seconds} for step in stop.steps]
        yield from (("signal", stop.signal), ("mode", str(stop.mode)), ("steps", steps))
        return
    yield from (("signal", stop.signal), ("delay", stop.delay_seconds), ("mode", str(stop.mode)))


def _reload(reload: Reload) -> Iterator[Entry]:
    if reload.signal is not None:
        yield "signal", reload.signal
    else:
        yield "command", reload.command
    yield "timeout", reload.timeout_seconds


def _timer(timer: TimerSpec) -> Iterator[Entry]:
    plain = TimerSpec(timer.expressions)
    yield timer.kind, timer.expressions
    yield from _unlike(timer, plain, "timezone")
    yield from _filled("jitter", timer.jitter_seconds)
    if timer.catch_up_seconds != plain.catch_up_seconds:
        yield "catch_up", timer.catch_up_seconds or False
    yield from _filled("timeout", timer.timeout_seconds)


def _action(action: ActionSpec) -> Iterator[Entry]:
    yield from _filled("description", action.description)
    yield from _filled("command", action.command)
    if not action.is_interactive:
        yield "timeout", action.timeout_seconds
    yield from _filled("admin", action.needs_admin)
    yield from _filled("interactive", action.is_interactive)


def _ready(ready: Readiness, *, is_domain: bool) -> object:
    """Return a bare word where that says it all; None where the default does."""
    plain = default_readiness(ready.probe, is_domain=is_domain)
    if ready.probe is None:
        return None if ready == plain else {"kind": "none", "timeout": ready.timeout_seconds}
    table = dict(_probe(ready.probe))
    if ready != plain:
        table["timeout"] = ready.timeout_seconds
    return table["kind"] if len(table) == 1 else table


def _health(health: Health) -> Iterator[Entry]:
    yield from _probe(health.probe)
    yield "interval", health.interval_seconds
    if not isinstance(health.probe, NotifyProbe):
        yield "timeout", health.timeout_seconds
    yield "failures", health.failures
    yield "on_failure", health.on_failure


def _probe(probe: Probe) -> Iterator[Entry]:
    yield "kind", _KINDS[type(probe)]
    if isinstance(probe, MachineProbe):
        yield "rungs", [dict(_rung(rung)) for rung in probe.rungs]
        return
    is_by_path = isinstance(probe, BannerProbe) and probe.path is not None
    for key in _PROBE_KEYS.split():
        value = getattr(probe, key, None)
        if value not in (None, False) and not (key == "host" and is_by_path):
            yield key, value if key != "check" else str(value)


def _rung(rung: RungSpec) -> Iterator[Entry]:
    yield from (("rung", str(rung.rung)), ("timeout", rung.timeout_seconds))
    if not rung.counts:
        yield "counts", False
