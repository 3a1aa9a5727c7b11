"""What a process to be made looks like, with every name already looked up."""

import os
from collections.abc import Mapping
from typing import Protocol

from virtsupd.core.frozen import frozen
from virtsupd.core.spec import Limit, ProcessSpec
from virtsupd.errors import SpawnError
from virtsupd.process.capabilities import require_capabilities
from virtsupd.process.environment import DEFAULT_PATH, service_environment
from virtsupd.process.identity import Credentials, is_own, resolve_credentials
from virtsupd.process.limits import check_limit, with_started_nofile


@frozen
class SpawnPlan:
    """Everything a `Spawner` needs to make one process. Descriptors stay the caller's."""

    executable: str
    """Path of the program. A relative one counts from `directory`."""
    argv: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    umask: int
    credentials: Credentials | None
    """None: virtsupd's own."""
    limits: tuple[Limit, ...]
    capabilities: tuple[str, ...] | None
    no_new_privileges: bool
    oom_score_adjust: int | None
    nice: int | None
    descriptors: tuple[int, ...]
    """`descriptors[i]` becomes descriptor i of the child, at least 0, 1 and 2; no other is passed."""
    cgroup_fd: int | None
    """An open cgroup v2 directory in which the child is born."""
    pid_variable: str | None = None
    """A variable ("LISTEN_PID") that is set to the child's own pid."""
    status_fd: int | None = None
    """A file, open for writing (`status_file.open_status`), that is to say how the child ended."""


@frozen
class Child:
    """A process that was made and has begun its program: the leader of its own session and group."""

    pid: int
    warnings: tuple[str, ...] = ()
    """What the kernel denied without harm: a raised limit, an OOM score, a priority."""
    keeper: int | None = None
    """The process that writes the status down: a child of virtsupd too, alive as long as this one."""


class Spawner(Protocol):
    """Makes processes."""

    def spawn(self, plan: SpawnPlan) -> Child:
        """Make the process and return once it runs its program.

        The child has a session and process group of its own, default signal dispositions, an
        empty signal mask, and only the descriptors of the plan. Blocks until exec: about a
        millisecond. The caller registers the pid with the `Reaper` in the same turn of the loop.

        With `status_fd`, a keeper is the child's parent: a process in virtsupd's own cgroup and a
        session of its own that blocks all signals. The child's number stays taken until virtsupd
        reaps it, which is told of the end once the keeper has written it down; virtsupd has to be
        a subreaper (or PID 1) for that. A keeper that cannot be run is a warning. What the file
        says after a failed spawn means nothing.

        Raises:
            SpawnError: some step failed; `stage` names it. Nothing is left behind.
        """
        ...


def plan_process(
    spec: ProcessSpec,
    *,
    extra_environment: Mapping[str, str],
    descriptors: tuple[int, ...],
    cgroup_fd: int | None,
    pid_variable: str | None = None,
    status_fd: int | None = None,
) -> SpawnPlan:
    """Look up all that a definition names: program, user, groups, environment files, capabilities.

    `extra_environment` (NOTIFY_SOCKET and the like) wins over the definition's. The directory is
    entered by the child, as the service's user, and so is not looked at here.

    Raises:
        SpawnError: with stage "program", "user", "group", "environment", "limits" or
            "capabilities".
    """
    credentials = resolve_credentials(spec)
    environment = service_environment(spec, credentials)
    environment.update(extra_environment)
    _refuse_nul(spec.command, environment)
    for limit in spec.limits:
        check_limit(limit)
    if spec.capabilities is not None:
        require_capabilities(spec.capabilities)
    return SpawnPlan(
        executable=find_program(spec.command, environment, spec.directory),
        argv=spec.command,
        environment=environment,
        directory=spec.directory,
        umask=spec.umask,
        credentials=None if is_own(credentials) else credentials,
        limits=with_started_nofile(spec.limits),
        capabilities=spec.capabilities,
        no_new_privileges=spec.no_new_privileges,
        oom_score_adjust=spec.oom_score_adjust,
        nice=spec.nice,
        descriptors=descriptors,
        cgroup_fd=cgroup_fd,
        pid_variable=pid_variable,
        status_fd=status_fd,
    )


def _refuse_nul(command: tuple[str, ...], environment: Mapping[str, str]) -> None:
    """Refuse the one character that no argument and no variable can hold."""
    if any("\0" in argument for argument in command):
        raise SpawnError(
            "program", "cannot run a command that holds a NUL character", is_permanent=True
        )
    for name, value in environment.items():
        if "\0" in name or "\0" in value:
            raise SpawnError(
                "environment",
                f"cannot set variable {name!r}: it holds a NUL character",
                is_permanent=True,
            )


def find_program(command: tuple[str, ...], environment: Mapping[str, str], directory: str) -> str:
    """Return the path of a command's program: as written if it has a slash, else from PATH.

    Raises:
        SpawnError: there is none, or it is not executable (stage "program"); permanent.
    """
    if not command or not command[0]:
        raise _no_program("cannot run an empty command")
    program = command[0]
    if "/" in program:
        path = os.path.join(directory, program)  # noqa: PTH118 - Path would drop a trailing slash
        if not os.path.isfile(path):  # noqa: PTH113 - a str is all there is, spawning is timed
            raise _no_program(f"cannot run {program}: no such program")
        if not os.access(path, os.X_OK):
            raise _no_program(f"cannot run {program}: it is not executable")
        return program
    search = environment.get("PATH", DEFAULT_PATH)
    for folder in search.split(":"):
        path = f"{folder or '.'}/{program}"
        if os.access(path, os.X_OK) and os.path.isfile(path):  # noqa: PTH113 - as above
            return path
    raise _no_program(f"cannot run {program}: not found in PATH ({search})")


def _no_program(message: str) -> SpawnError:
    return SpawnError("program", message, is_permanent=True)
