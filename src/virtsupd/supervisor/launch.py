"""Making a run: everything a process is given before it exists, then the process."""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from virtsupd.core.effects import Spawn
from virtsupd.core.names import Name, file_name
from virtsupd.core.spec import (
    ExitProbe,
    FdProbe,
    LogSpec,
    NotifyProbe,
    PidFileProbe,
    ProcessSpec,
    ServiceSpec,
    StopMode,
)
from virtsupd.errors import SpawnError
from virtsupd.process.activation import ListeningSockets, activation_environment, remove_stale
from virtsupd.process.cgroup import Cgroup, CgroupTree
from virtsupd.process.clock import Clock
from virtsupd.process.identity import resolve_credentials
from virtsupd.process.inheritance import Inheritance
from virtsupd.process.marks import START, START_PID, mark_for
from virtsupd.process.notify import NotifyMessage, NotifySocket, Watchdog
from virtsupd.process.output import Outputs
from virtsupd.process.plan import Child, Spawner, SpawnPlan, plan_process
from virtsupd.process.status_file import open_status, take_statuses
from virtsupd.process.survivors import ticks_now
from virtsupd.supervisor import handing_over
from virtsupd.supervisor.attendances import equip
from virtsupd.supervisor.leftovers import refuse_leftovers, refuse_unread
from virtsupd.supervisor.record import Record
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
    on_message: Callable[[Run, NotifyMessage], None]
    """Told what a service says on its notify socket."""
    inherited: Inheritance = field(default_factory=Inheritance)
    """What this process has from the program that it was before, for who needs it."""
    _sockets: dict[Name, ListeningSockets] = field(default_factory=dict)
    _null: int = field(default_factory=lambda: os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))

    def prepare(self, effect: Spawn, kept: Cgroup | None) -> tuple[Run, Record]:
        """Choose where a process and its output will be; nothing is made but its cgroup and log.

        `kept` is the empty cgroup of the service's last run, if it may be used again.

        Raises:
            SpawnError: something of an earlier start is left, the user is unknown, or its output
                cannot be captured.
            OSError: the cgroup, or the file for its exit status, cannot be made.
        """
        mode = self.definition(effect.name).stop.mode
        forks = isinstance(effect.ready.probe, PidFileProbe)
        if forks and mode is not StopMode.CGROUP:
            kept = None  # guests may live in it
        elif mode is StopMode.CGROUP and kept is not None and kept.pids():
            kept = None  # what another stop mode left lives in it
        cgroup = kept or self._cgroup(effect.name, mode, forks=forks)
        run = Run(effect.name, effect.generation, effect.process, cgroup, effect.ready.probe)
        run.is_settled = not forks
        run.has_own_cgroup = cgroup is not None and mode is StopMode.CGROUP
        before = cgroup.pids() if cgroup is not None and not run.has_own_cgroup else ()
        run.was_inhabited = bool(before)
        try:
            self._open_output(run)
        except SpawnError:
            if cgroup is not None:
                cgroup.remove()
            raise
        if self.definition(effect.name).is_to_end:
            run.status_fd = open_status(self.status_path(run.name))
        else:
            self.forget_status(run.name)  # of a one-shot that this service was before
        run.began = ticks_now()
        run.mark = mark_for(self.run_dir, run.name, run.generation, run.began)
        return run, _record(run, before)

    def spawn(self, run: Run, effect: Spawn) -> Child:
        """Make the process of a prepared run; the caller watches for its exit before the loop turns.

        Raises:
            SpawnError: nothing of this start is left but the run, and what the service keeps over
                restarts (its log and activation sockets).
            OSError: likewise, when something could not be made for it.
        """
        process = equip(effect.process)
        held = self._sockets.setdefault(run.name, ListeningSockets())
        listening = held.open_all(process.sockets)
        environment = activation_environment(process.sockets)
        environment |= self._notify_environment(run) | {START: run.mark}
        descriptors = [self._null, run.output, run.output, *listening]
        child_end = self._ready_fd(run, effect.ready.probe, descriptors, environment)
        try:
            with _cgroup_descriptor(run) as cgroup_fd:
                plan = plan_process(
                    process,
                    extra_environment=environment,
                    descriptors=tuple(descriptors),
                    cgroup_fd=cgroup_fd,
                    pid_variable=_LISTEN_PID if listening else START_PID,
                    status_fd=run.status_fd,
                )
                child = self.spawner.spawn(plan)
        finally:
            if child_end is not None:
                os.close(child_end)
            run.close_status()
        run.leader = run.group = child.pid
        return child

    def status_path(self, name: Name) -> Path:
        """Return where the end of a one-shot or job is written down, whoever reaps it."""
        return self.run_dir / "status" / file_name(name)

    def forget_status(self, name: Name) -> None:
        """Remove what was written down of an end, if anything was."""
        with contextlib.suppress(OSError):
            self.status_path(name).unlink()

    def _open_output(self, run: Run) -> None:
        """Choose where the run's output goes; it belongs to the run's user from then on.

        Raises:
            SpawnError: the user is unknown, or it cannot be captured (stage "output").
        """
        credentials = resolve_credentials(run.process)
        run.uid, run.gid = credentials.uid, credentials.gid
        run.output = self.outputs.open(run.name, run.process.log, uid=run.uid, gid=run.gid)
        run.log_offset = self.outputs.written(run.name)

    def take_back(self, run: Run, pidfd: int | None) -> None:
        """Take up again what a run that was adopted had been given by an earlier virtsupd.

        Each is taken as far as it can be had, from before an exec or from where it lies; what is
        missing is made at the next start. Output that cannot be captured any more is logged: the
        service runs.
        """
        try:
            self.outputs.resume(run.name, run.process.log)
        except SpawnError as error:
            log.warning("output of an adopted service is lost", service=run.name, reason=str(error))
        self._take_back_notify(run)
        self._take_back_ready(run)
        # What was kept over an exec may have been opened for other definitions.
        is_asked = run.name not in self._sockets and run.process.sockets
        if is_asked and run.leader is not None and pidfd is not None:
            held = self._sockets[run.name] = ListeningSockets()
            held.take_back(run.process.sockets, run.leader, pidfd)

    def _take_back_notify(self, run: Run) -> None:
        kept = self.inherited.take(f"notify {run.name}")
        path = self.run_dir / "notify" / file_name(run.name)
        if kept is not None or path.exists() or self._is_notifying(run):
            with contextlib.suppress(SpawnError, OSError):
                self._open_notify(run, kept)

    def _take_back_ready(self, run: Run) -> None:
        """Hold the readiness FIFO again; the one kept over an exec has what was written meanwhile."""
        path = self.run_dir / "ready" / file_name(run.name)
        run.ready_fd = self.inherited.take(f"ready {run.name}")
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
        with contextlib.suppress(OSError):
            if run.ready_fd is None:
                run.ready_fd = os.open(path, flags)
        run.ready_path = path if run.ready_fd is not None else None

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
        return self.plan_own(command, environment)

    def plan_own(
        self, command: tuple[str, ...], environment: tuple[tuple[str, str], ...] = ()
    ) -> SpawnPlan:
        """Plan a command that runs as virtsupd itself.

        Raises:
            SpawnError: the program or the environment cannot be found.
        """
        process = ProcessSpec(command, LogSpec(""), environment=environment)
        return plan_process(
            process,
            extra_environment={},
            descriptors=(self._null, self._null, self._null),
            cgroup_fd=None,
        )

    def inherit(self, heirs: Mapping[Name, Name], names: Collection[Name]) -> None:
        """Take up activation sockets that were kept over an exec, and statuses, before any start.

        `heirs` has the present names of services, those that there are `names`; what belonged to
        none of them is closed and removed.
        """
        files = {file_name(name): file_name(heir) for name, heir in heirs.items()}
        take_statuses(self.run_dir / "status", files, {file_name(name) for name in names})
        self._sockets.update(handing_over.take_sockets(self.inherited, heirs))
        for name in [name for name in self._sockets if name not in names]:
            self.release(name)

    def handed(self) -> dict[str, int]:
        """Return the activation sockets, named for `inherit` after an exec."""
        return handing_over.of_sockets(self._sockets)

    def facts(self) -> dict[str, object]:
        """Return what has to be known of `handed` besides."""
        return {handing_over.SOCKETS: handing_over.definitions(self._sockets)}

    def release(self, name: Name) -> None:
        """Close the activation sockets a service kept over restarts.

        If none is open, files are removed that they left when an earlier virtsupd was killed.
        """
        sockets = self._sockets.pop(name, None)
        if sockets is not None:
            sockets.close()
            return
        with contextlib.suppress(KeyError):  # it has left the configuration
            process = self.definition(name).process
            remove_stale(process.sockets if process is not None else ())

    def leave(self) -> None:
        """Close our ends and leave every socket file where it is, for the next virtsupd."""
        for sockets in self._sockets.values():
            sockets.leave()

    def close(self, names: Iterable[Name] = ()) -> None:
        """Give back what all services kept, those of these names among them, and our own descriptors."""
        for name in {*self._sockets, *names}:
            self.release(name)
        os.close(self._null)

    def groups(self, name: Name) -> tuple[Cgroup, ...]:
        """Return the cgroups of a service that exist; none if there are no cgroups here."""
        return self.tree.groups(name) if self.tree is not None else ()

    def _cgroup(self, name: Name, mode: StopMode, *, forks: bool) -> Cgroup | None:
        """Return a cgroup for the first start in it, none of whose processes is an earlier virtsupd's.

        A program that forks away gets one that nobody was in before: until its pid file names the
        leader, all that is in there may be it.
        """
        groups = self.groups(name)
        refuse_leftovers(self.records.record(name), mode, groups)
        if self.records.is_unread(name):
            file = self.run_dir / "records" / file_name(name)
            refuse_unread(file, groups, self.outputs.path(name))
        if self.tree is None:
            return None
        if forks or mode is StopMode.CGROUP:
            return self.tree.anew(name)
        cgroup = self.tree.service(name)  # guests and jobs may live in it, and go on
        cgroup.remove()  # an empty one may have been killed as a whole: see `CgroupTree.anew`
        cgroup.make()
        return cgroup

    def _is_notifying(self, run: Run) -> bool:
        is_watched = watchdog_seconds(self.definition(run.name)) is not None
        says_status = isinstance(run.ready_probe, ExitProbe) and run.ready_probe.status
        return isinstance(run.ready_probe, NotifyProbe) or is_watched or says_status

    def _notify_environment(self, run: Run) -> dict[str, str]:
        if not self._is_notifying(run):
            return {}
        environment = {"NOTIFY_SOCKET": str(self._open_notify(run))}
        seconds = watchdog_seconds(self.definition(run.name))
        if seconds is not None:
            environment["WATCHDOG_USEC"] = str(int(seconds * 1e6))
        return environment

    def _open_notify(self, run: Run, inherited: int | None = None) -> Path:
        path = self.run_dir / "notify" / file_name(run.name)
        run.notify = NotifySocket(
            path, on_message=lambda heard: self.on_message(run, heard), inherited=inherited
        )
        seconds = watchdog_seconds(self.definition(run.name))
        if seconds is not None:
            run.watchdog = Watchdog(seconds, self.clock.now().monotonic)
        return path

    def _ready_fd(
        self,
        run: Run,
        probe: object,
        descriptors: list[int],
        environment: dict[str, str],
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
        os.chown(path, run.uid, run.gid)
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


def _record(run: Run, before: tuple[int, ...]) -> Record:
    """Return what a successor has to know of a run before there is a process."""
    return Record(
        run.generation,
        run.cgroup.path if run.cgroup is not None else None,
        before,
        run.began,
        is_settled=run.is_settled,
        uid=run.uid,
        log=run.process.log,
        log_offset=run.log_offset,
        mark=run.mark,
    )


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
