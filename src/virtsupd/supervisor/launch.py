"""Making a run: everything a process is given before it exists, then the process."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from virtsupd.core.effects import Spawn
from virtsupd.core.names import Name, file_name
from virtsupd.core.spec import (
    FdProbe,
    LogSpec,
    NotifyProbe,
    PidFileProbe,
    ProcessSpec,
    ServiceSpec,
    StopMode,
)
from virtsupd.errors import SpawnError
from virtsupd.process.activation import ListeningSockets, activation_environment
from virtsupd.process.cgroup import Cgroup, CgroupTree
from virtsupd.process.clock import Clock
from virtsupd.process.identity import Credentials, resolve_credentials
from virtsupd.process.lives import life_of
from virtsupd.process.notify import NotifyMessage, NotifySocket, Watchdog
from virtsupd.process.output import Outputs
from virtsupd.process.plan import Child, Spawner, SpawnPlan, plan_process
from virtsupd.supervisor.records import Records
from virtsupd.supervisor.runs import Run

log = structlog.get_logger()

_LISTEN_PID = "LISTEN_PID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launcher:
    """Makes runs. What it was given stays its owner's."""

    spawner: Spawner
    outputs: Outputs
    tree: CgroupTree | None
    """None: no writable cgroup v2; services are process groups."""
    run_dir: Path
    clock: Clock
    records: Records
    definition: Callable[[Name], ServiceSpec]
    """The definition in force of a service."""
    on_message: Callable[[Name, int, NotifyMessage], None]
    """Told what a service says on its notify socket: name, generation, message."""
    _sockets: dict[Name, ListeningSockets] = field(default_factory=dict)
    _null: int = field(default_factory=lambda: os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))

    def launch(self, effect: Spawn, kept: Cgroup | None) -> tuple[Run, Child]:
        """Make the run and its process; the caller watches for the exit before the loop turns.

        `kept` is the empty cgroup of the service's last run, if it may be used again.

        Raises:
            SpawnError: nothing of this start is left, apart from what the service keeps over
                restarts (its log and activation sockets).
            OSError: likewise, when something could not be made for it.
        """
        mode = self.definition(effect.name).stop.mode
        forks = isinstance(effect.ready.probe, PidFileProbe)
        if forks and mode is not StopMode.CGROUP:
            kept = None  # guests may live in it
        cgroup = kept or self._cgroup(effect.name, mode, forks=forks)
        run = Run(effect.name, effect.generation, effect.process, cgroup, effect.ready.probe)
        run.is_settled = not forks
        try:
            self._begin_record(run, mode)
            child = self._spawn(run, effect)
        except BaseException:
            run.close()
            self.records.forget(run.name)
            if run.cgroup is not None:
                run.cgroup.remove()
            raise
        run.leader = run.group = child.pid
        if forks:
            life = life_of(child.pid)
            run.began = life.started if life is not None else 0
        if run.is_settled or run.cgroup is None:
            self.records.note(run.name, child.pid, child.pid)
        return run, child

    def _begin_record(self, run: Run, mode: StopMode) -> None:
        """Record that a process is about to be made; without that, only a cgroup tells of it.

        Raises:
            SpawnError: it could not be written, and no cgroup of its own would show the process to
                a successor (stage "record").
        """
        before = run.cgroup.pids() if run.cgroup is not None and mode is not StopMode.CGROUP else ()
        try:
            self.records.begin(run.name, run.generation, run.cgroup, before)
        except OSError as error:
            if mode is not StopMode.CGROUP or run.cgroup is None:
                text = f"cannot record the start: {error.filename}: {error.strerror}"
                raise SpawnError("record", text, is_permanent=False) from error
            log.warning("start could not be recorded", service=run.name, reason=str(error))

    def plan_beside(self, run: Run, command: tuple[str, ...]) -> SpawnPlan:
        """Plan a command that runs as the service does and in its cgroup, its output to us.

        Descriptors 1 and 2 are /dev/null until `run_command` replaces them.

        Raises:
            SpawnError: the program, user or environment of the service cannot be found.
        """
        return plan_process(
            replace(run.process, command=command),
            extra_environment={},
            descriptors=(self._null, self._null, self._null),
            cgroup_fd=None,
        )

    def plan_action(self, spec: ServiceSpec, command: tuple[str, ...]) -> SpawnPlan:
        """Plan a command of a service that runs as virtsupd itself, with the service's variables.

        Raises:
            SpawnError: the program or the environment cannot be found.
        """
        environment = spec.process.environment if spec.process is not None else ()
        process = ProcessSpec(command, LogSpec(""), environment=environment)
        return plan_process(
            process,
            extra_environment={},
            descriptors=(self._null, self._null, self._null),
            cgroup_fd=None,
        )

    def release(self, name: Name) -> None:
        """Close the activation sockets a service kept over restarts."""
        sockets = self._sockets.pop(name, None)
        if sockets is not None:
            sockets.close()

    def leave(self) -> None:
        """Close our ends and leave every socket file where it is, for the next virtsupd."""
        for sockets in self._sockets.values():
            sockets.leave()

    def close(self) -> None:
        """Give back what all services kept, and our own descriptors."""
        for name in list(self._sockets):
            self._sockets.pop(name).close()
        os.close(self._null)

    def _cgroup(self, name: Name, mode: StopMode, *, forks: bool) -> Cgroup | None:
        """Return a cgroup for the first start in it, none of whose processes is an earlier virtsupd's.

        A program that forks away gets one that nobody was in before: until its pid file names the
        leader, all that is in there may be it.
        """
        groups = self.tree.groups(name) if self.tree is not None else ()
        self.records.refuse_leftovers(name, mode, groups)
        if self.tree is None:
            return None
        if forks or mode is StopMode.CGROUP:
            return self.tree.anew(name)
        cgroup = self.tree.service(name)  # guests and jobs may live in it, and go on
        cgroup.make()
        return cgroup

    def _spawn(self, run: Run, effect: Spawn) -> Child:
        process = effect.process
        credentials = resolve_credentials(process)
        run.uid = credentials.uid
        output = self.outputs.open(run.name, process.log, uid=credentials.uid, gid=credentials.gid)
        run.log_offset = self.outputs.written(run.name)
        held = self._sockets.setdefault(run.name, ListeningSockets())
        listening = held.open_all(process.sockets)
        environment = activation_environment(process.sockets)
        environment |= self._notify(run, effect)
        descriptors = [self._null, output, output, *listening]
        child_end = self._ready_fd(run, effect.ready.probe, descriptors, environment, credentials)
        try:
            with _cgroup_descriptor(run) as cgroup_fd:
                plan = plan_process(
                    process,
                    extra_environment=environment,
                    descriptors=tuple(descriptors),
                    cgroup_fd=cgroup_fd,
                    pid_variable=_LISTEN_PID if listening else None,
                )
                return self.spawner.spawn(plan)
        finally:
            if child_end is not None:
                os.close(child_end)

    def _notify(self, run: Run, effect: Spawn) -> dict[str, str]:
        seconds = watchdog_seconds(self.definition(run.name))
        if not isinstance(effect.ready.probe, NotifyProbe) and seconds is None:
            return {}
        path = self.run_dir / "notify" / file_name(run.name)
        name, generation, tell = run.name, run.generation, self.on_message
        run.notify = NotifySocket(path, on_message=lambda heard: tell(name, generation, heard))
        environment = {"NOTIFY_SOCKET": str(path)}
        if seconds is not None:
            run.watchdog = Watchdog(seconds, self.clock.now().monotonic)
            environment["WATCHDOG_USEC"] = str(int(seconds * 1e6))
        return environment

    def _ready_fd(
        self,
        run: Run,
        probe: object,
        descriptors: list[int],
        environment: dict[str, str],
        credentials: Credentials,
    ) -> int | None:
        """Add the readiness descriptor; return the child's end, to be closed after the spawn.

        A FIFO held open for reading and writing on both sides, not a pipe: the service does not
        get SIGPIPE when virtsupd is gone, and a successor can read the newline.
        """
        if not isinstance(probe, FdProbe):
            return None
        path = self.run_dir / "ready" / file_name(run.name)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        os.mkfifo(path, 0o600)
        run.ready_path = path
        os.chown(path, credentials.uid, credentials.gid)
        run.ready_fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        child_end = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        number = probe.fd if probe.fd is not None else len(descriptors)
        if number < len(descriptors):
            os.close(child_end)
            raise SpawnError(
                "descriptor",
                f"cannot pass readiness as descriptor {number}: 0 to {len(descriptors) - 1} are taken",
                is_permanent=True,
            )
        descriptors.extend([self._null] * (number - len(descriptors)))
        descriptors.append(child_end)
        if probe.variable is not None:
            environment[probe.variable] = str(number)
        return child_end


def watchdog_seconds(spec: ServiceSpec) -> float | None:
    """Return how often a service has to say WATCHDOG=1; None if its health is not judged by that."""
    health = spec.health
    if health is None or not isinstance(health.probe, NotifyProbe):
        return None
    return health.interval_seconds


@contextlib.contextmanager
def _cgroup_descriptor(run: Run) -> Iterator[int | None]:
    if run.cgroup is None:
        yield None
        return
    descriptor = run.cgroup.open()
    try:
        yield descriptor
    finally:
        os.close(descriptor)
