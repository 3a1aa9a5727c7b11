"""From a checked `[service.*]` table to the definition the engine works with.

What two keys have to do with each other is checked here: `service_problems` lists every such fault,
and only a table without any may be built.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from virtsupd.config.domains import DEFAULT_RESPAWN, READY_SECONDS, domain_faults, domain_spec
from virtsupd.config.machines import DEFAULT_RESPAWN as MACHINE_RESPAWN
from virtsupd.config.machines import (
    machine_actions,
    machine_faults,
    machine_spec,
    machine_stop,
)
from virtsupd.config.model import (
    ActionTable,
    CleanUpTable,
    LogTable,
    PrepareTable,
    ReloadTable,
    RespawnTable,
    ServiceTable,
    SocketTable,
    StopTable,
)
from virtsupd.config.probes import (
    BannerTable,
    FdTable,
    HealthTable,
    HostTable,
    ListenTable,
    LogLineTable,
    NotifyTable,
    ProbeTable,
    ReadyTable,
)
from virtsupd.config.problems import SECRET, Fault, Keys
from virtsupd.config.settings import HostSettings
from virtsupd.config.timer import timer_faults, timer_spec
from virtsupd.core.domain import GuestStop
from virtsupd.core.names import Name, file_name
from virtsupd.core.spec import (
    ActionSpec,
    CleanUp,
    ExitProbe,
    Health,
    HostCheck,
    HostProbe,
    Limit,
    LogSpec,
    MachineProbe,
    Prepare,
    Probe,
    ProcessSpec,
    Readiness,
    Reload,
    Respawn,
    ServiceSpec,
    SocketSpec,
    Stop,
)

_PROCESS_KEYS = (
    "machine "
    "user group supplementary_groups directory umask environment environment_file limits "
    "capabilities no_new_privileges oom_score_adjust nice health respawn stop log one_shot "
    "transient guest success_exit not_needed_exit sockets reload prepare clean_up "
    "timer"
)
_NEEDS_COMMAND = tuple(_PROCESS_KEYS.split())
_NOT_WITH_TIMER = {
    "ready": "it is running when its timer is armed, and a job is done when it ends well",
    "health": "a job has to end, not to stay healthy",
    "respawn": "a job that failed runs again when the timer fires",
    "reload": "nothing runs between two firings",
    "clean_up": "the job itself can end with it, after each firing",
    "sockets": "nothing listens between two firings",
    "one_shot": "a job runs once for each firing by itself",
    "transient": "a timer stays when its job has ended",
    "guest": "a guest is no job that ends",
    "not_needed_exit": "a job ends well, with one of success_exit, or has failed",
}


def service_problems(table: ServiceTable) -> Iterator[Fault]:
    """Yield what keys of the table, each fine by itself, make wrong together."""
    yield from domain_faults(table)
    yield from machine_faults(table)
    if table.command is None and table.domain is None:
        yield from _stage_faults(table)
    else:
        yield from _one_shot_faults(table)
    if table.timer is not None:
        yield from timer_faults(table.timer)
        yield from _job_faults(table)
    if table.ready is not None:
        yield from _ready_faults(table, table.ready.probe)
    if table.health is not None:
        yield from _health_faults(table.health)
    if table.respawn is not None:
        yield from _respawn_faults(table.respawn)
    if table.reload is not None and (table.reload.signal is None) == (table.reload.command is None):
        yield ("reload",), "must have exactly one of signal and command"
    yield from _socket_faults(table.sockets)
    yield from _action_faults(table.actions)
    for code in sorted(set(_success_exit(table)) & set(table.not_needed_exit)):
        yield ("not_needed_exit",), f"{code} stands in success_exit too; it can mean one thing only"


def build_service(name: Name, table: ServiceTable, host: HostSettings, source: str) -> ServiceSpec:
    """Return the definition of a table in which `service_problems` finds nothing.

    `name` is the table's or unit file's; the first of `provides` is canonical where given.
    """
    provides = table.provides or (name,)
    canonical = provides[0]
    return ServiceSpec(
        name=canonical,
        provides=provides,
        description=table.description,
        source=source,
        requires=table.requires,
        binds_to=table.binds_to,
        wants=table.wants,
        after=table.after,
        before=table.before,
        conflicts=table.conflicts,
        part_of=table.part_of,
        process=_process(canonical, table, host),
        domain=domain_spec(table.domain) if table.domain is not None else None,
        ready=_readiness(table, host),
        health=_health(table, host),
        respawn=_respawn(table),
        stop=_stop(table, host),
        reload=_reload(table.reload),
        prepare=_prepare(table.prepare),
        clean_up=_clean_up(table.clean_up),
        timer=timer_spec(table.timer, canonical) if table.timer is not None else None,
        one_shot=table.one_shot,
        transient=table.transient,
        autostart=table.autostart,
        is_guest=table.guest or table.domain is not None or table.machine is not None,
        success_exit=_success_exit(table),
        not_needed_exit=frozenset(table.not_needed_exit),
        actions=_actions(canonical, table),
    )


def _success_exit(table: ServiceTable) -> frozenset[int]:
    """Return the codes of a good end; 0 means that only if it does not say that it is not needed."""
    is_said = table.says("success_exit")
    return frozenset(table.success_exit).difference(() if is_said else table.not_needed_exit)


def _actions(name: Name, table: ServiceTable) -> tuple[ActionSpec, ...]:
    """Return those of the table, and the one that every machine with a guest agent has."""
    made = {
        key: ActionSpec(
            key,
            action.description,
            action.command,
            action.timeout,
            action.admin,
            action.interactive,
        )
        for key, action in table.actions.items()
    }
    for action in machine_actions(name, table.machine):
        made.setdefault(action.name, action)
    return tuple(made[key] for key in sorted(made))


def _stage_faults(table: ServiceTable) -> Iterator[Fault]:
    for key in _NEEDS_COMMAND:
        # A condition is tried again as its respawn says.
        if table.says(key) and not (key == "respawn" and table.ready is not None):
            yield (key,), "means nothing without command: this is a target, which has no process"
    if table.ready is not None and not table.ready.probe.for_stage:
        kind = _kind(table.ready.probe)
        yield ("ready",), f"{kind} needs a process, and without command there is none"


def _one_shot_faults(table: ServiceTable) -> Iterator[Fault]:
    waits_for_exit = table.ready is not None and isinstance(table.ready.probe.probe(), ExitProbe)
    if table.one_shot and table.ready is not None and not waits_for_exit:
        yield ("ready",), "must be exit for a one-shot, which is its default"
    if waits_for_exit and not table.one_shot:
        yield ("ready",), "exit is for services with one_shot = true"
    if table.one_shot and table.health is not None:
        yield ("health",), "means nothing for a one-shot: it is done when its process has ended"


def _job_faults(table: ServiceTable) -> Iterator[Fault]:
    """Yield what means nothing, or something else, for a job that a timer runs."""
    for key, why in _NOT_WITH_TIMER.items():
        if getattr(table, key):
            yield (key,), f"does not go with timer: {why}"


def _probe_faults(probe: ProbeTable, keys: Keys) -> Iterator[Fault]:
    if isinstance(probe, BannerTable):
        if (probe.port is None) == (probe.path is None):
            yield keys, "must have exactly one of port and path"
        elif probe.path is not None and "host" in probe.model_fields_set:
            yield (*keys, "host"), "goes with port, not with path"
    if isinstance(probe, ListenTable) and not (probe.on or probe.pid_file):
        yield keys, "must have on, pid_file, or both"


def _ready_faults(table: ServiceTable, probe: ProbeTable) -> Iterator[Fault]:
    """Yield what is wrong with the probe, and why the service could never pass it."""
    yield from _probe_faults(probe, ("ready",))
    if isinstance(probe, LogLineTable) and table.says("log") and table.log is None:
        yield ("ready",), "log-line is read from the log, and log = false keeps none"
    if isinstance(probe, FdTable) and probe.fd is not None and probe.fd < 3 + len(table.sockets):
        taken = 2 + len(table.sockets)
        yield ("ready", "fd"), f"found {probe.fd}, must be above {taken}: sockets are passed below"


def _health_faults(health: HealthTable) -> Iterator[Fault]:
    if not health.probe.for_health:
        kind = _kind(health.probe)
        yield ("health",), f"{kind} happens once and cannot be asked again; for ready only"
    yield from _probe_faults(health.probe, ("health",))
    if isinstance(health.probe, NotifyTable) and "timeout" in health.model_fields_set:
        yield ("health", "timeout"), "means nothing for notify: WATCHDOG=1 is due in each interval"


def _respawn_faults(respawn: RespawnTable) -> Iterator[Fault]:
    given = respawn.model_fields_set
    if respawn.max_delay < respawn.delay and {"delay", "max_delay"} <= given:
        yield (
            ("respawn", "max_delay"),
            f"found {respawn.max_delay:g} seconds, must be at least delay, {respawn.delay:g} seconds",
        )


def _action_faults(actions: Mapping[str, ActionTable]) -> Iterator[Fault]:
    for key, action in actions.items():
        if action.interactive and "timeout" in action.model_fields_set:
            text = "means nothing for an interactive action, which whoever asks for it ends himself"
            yield ("actions", key, "timeout"), text


def _socket_faults(sockets: tuple[SocketTable, ...]) -> Iterator[Fault]:
    for index, socket in enumerate(sockets):
        if socket.type == "seqpacket" and socket.listen[0] not in "/@":
            text = "seqpacket is for Unix sockets; a port takes stream or datagram"
            yield ("sockets", index, "type"), text
        if not socket.listen.startswith("/"):
            for key in sorted({"mode", "owner", "group"} & socket.model_fields_set):
                text = "means nothing here: only a socket with a path has permissions"
                yield ("sockets", index, key), text


def _kind(probe: ProbeTable) -> str:
    return str(getattr(probe, "kind", "this"))


def _process(name: Name, table: ServiceTable, host: HostSettings) -> ProcessSpec | None:
    if table.command is None:
        return None
    return ProcessSpec(
        command=table.command,
        log=_log(name, table, host),
        user=table.user,
        group=table.group,
        supplementary_groups=table.supplementary_groups,
        directory=table.directory,
        umask=table.umask,
        environment=tuple(sorted(table.environment.items())),
        environment_files=table.environment_file,
        limits=tuple(Limit(key, *pair) for key, pair in sorted(table.limits.items())),
        capabilities=table.capabilities,
        no_new_privileges=table.no_new_privileges,
        oom_score_adjust=table.oom_score_adjust,
        nice=table.nice,
        sockets=tuple(_socket(name, socket) for socket in table.sockets),
        secret_environment=frozenset(key for key in table.environment if SECRET.search(key)),
        machine=machine_spec(table.machine),
    )


def _log(name: Name, table: ServiceTable, host: HostSettings) -> LogSpec:
    if table.log is None:
        is_off = table.says("log")
        return LogSpec(file="" if is_off else _default_log(name, host.log_dir))
    log: LogTable = table.log
    return LogSpec(
        file=log.file or _default_log(name, host.log_dir),
        max_size_bytes=log.max_size,
        max_age_seconds=log.max_age,
        keep=log.keep,
        compress=log.compress,
        on_full=log.on_full,
        mode=log.mode,
    )


def _default_log(name: Name, log_dir: Path) -> str:
    return f"{log_dir}/{file_name(name)}.log"


def _socket(name: Name, socket: SocketTable) -> SocketSpec:
    return SocketSpec(
        # A colon separates the names in LISTEN_FDNAMES.
        name=socket.name or name.replace(":", "_"),
        listen=socket.listen,
        type=socket.type,
        mode=socket.mode,
        owner=socket.owner,
        group=socket.group,
        backlog=socket.backlog,
    )


def _readiness(table: ServiceTable, host: HostSettings) -> Readiness:
    ready: ReadyTable | None = table.ready
    is_domain = table.domain is not None
    if ready is None:
        return default_readiness(ExitProbe() if table.one_shot else None, is_domain=is_domain)
    probe = _probe(ready.probe, host)
    if ready.timeout is None:
        return default_readiness(probe, is_domain=is_domain)
    return Readiness(probe, ready.timeout)


def default_readiness(probe: Probe | None, *, is_domain: bool = False) -> Readiness:
    """Return a readiness with the timeout it has unless the file says one.

    A one-shot may take as long as it needs, a guest boots before it is ready, and each rung of a
    machine has a time of its own.
    """
    if isinstance(probe, ExitProbe | MachineProbe):
        return Readiness(probe, timeout_seconds=0.0)
    return Readiness(probe, READY_SECONDS) if is_domain else Readiness(probe)


def _probe(table: ProbeTable, host: HostSettings) -> Probe | None:
    if isinstance(table, HostTable):
        check = HostCheck(table.check)
        is_assumed = check is HostCheck.NETWORKING and host.networking == "assume"
        return HostProbe(check, assume=is_assumed)
    return table.probe()


def _health(table: ServiceTable, host: HostSettings) -> Health | None:
    health = table.health
    probe = _probe(health.probe, host) if health is not None else None
    if health is None or probe is None:
        return None
    on_failure = health.on_failure or ("restart" if table.domain is None else "degrade")
    return Health(probe, health.interval, health.timeout, health.failures, on_failure)


def _respawn(table: ServiceTable) -> Respawn | None:
    found = table.respawn
    if found is None:
        runs_on = not table.one_shot and table.timer is None
        return _plain_respawn(table) if runs_on and not table.says("respawn") else None
    plain = _plain_respawn(table)
    delay = found.delay if "delay" in found.model_fields_set else plain.delay_seconds
    longest = max(found.max_delay, delay)
    only_failures = plain.only_failures if found.on is None else found.on == "failure"
    window = found.window if "window" in found.model_fields_set else plain.window_seconds
    return Respawn(delay, found.factor, longest, found.limit, window, only_failures)


def _plain_respawn(table: ServiceTable) -> Respawn:
    is_machine = table.machine is not None
    return default_respawn(is_domain=table.domain is not None, is_machine=is_machine)


def default_respawn(*, is_domain: bool = False, is_machine: bool = False) -> Respawn:
    """Return how something that runs on is started again unless the file says it."""
    if is_machine:
        return MACHINE_RESPAWN
    return DEFAULT_RESPAWN if is_domain else Respawn()


def _stop(table: ServiceTable, host: HostSettings) -> Stop:
    found = table.stop or StopTable()
    if table.domain is None:
        return machine_stop(found)
    says_delay = "delay" in found.model_fields_set
    delay = found.delay if says_delay else host.shutdown.guest_timeout_seconds
    return Stop(delay_seconds=delay, how=GuestStop(found.how or GuestStop.SHUTDOWN))


def _reload(table: ReloadTable | None) -> Reload | None:
    if table is None:
        return None
    return Reload(table.signal, table.command or (), table.timeout)


def _prepare(table: PrepareTable | None) -> Prepare | None:
    return Prepare(table.command, table.timeout) if table is not None else None


def _clean_up(table: CleanUpTable | None) -> CleanUp | None:
    return CleanUp(table.command, table.timeout) if table is not None else None
