"""The `Spawner` without C: posix_spawn of one `/bin/sh` line that turns into the service's program.

The shell waits at a gate, a socket on its descriptor 9, until virtsupd has set its limits, OOM score
and priority from outside. Then it enters the cgroup, goes through setpriv(1) where credentials or
capabilities change, and replaces itself. Before each step it notes the name of the step; if it ends
instead of becoming the program it writes that name to the socket, and the socket closes at exec.
Every value travels as a positional parameter or variable, never as text of the script.

What differs from the extension: a few times slower, blocking meanwhile; at most nine descriptors
(dash names no higher one); the program sees its path as argv[0]; variables whose name is no shell
identifier are dropped, with a warning; a text without "#!" is run as a shell script.
"""

import contextlib
import errno
import fcntl
import os
import re
import resource
import shutil
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from virtsupd.core.exits import ExitStatus, from_wait_status
from virtsupd.core.spec import Limit
from virtsupd.errors import SpawnError
from virtsupd.process.capabilities import NUMBER_BY_NAME, own_capabilities
from virtsupd.process.environment import DEFAULT_PATH
from virtsupd.process.failures import spawn_error, warning
from virtsupd.process.limits import RESOURCE_BY_NAME, limit_values, lowered_to
from virtsupd.process.plan import Child, SpawnPlan
from virtsupd.process.status_keeper import keeper_command, start_under_keeper

_SHELL = "/bin/sh"
_GATE = 9
_PATIENCE_SECONDS = 10.0
"""A shell that says nothing for so long (a frozen cgroup, a dead network mount) is given up."""

_SHELLS_OWN = frozenset({"BASH_ENV", "ENV", "IFS", "OLDPWD", "OPTIND", "PWD", "SHLVL"})
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

# Parameters: cgroup.procs or "", the file of the status or "", then either the words of setpriv or what
# _BECOME takes. If virtsupd died at the gate, the file gets what makes its status void: nothing was run.
_ENTER = """
read -r _vs_go <&9 || { if [ -n "$2" ]; then echo void >>"$2"; fi; exit 1; }
_vs_step=cgroup
trap 'echo "$_vs_step" >&9' EXIT
if [ -n "$1" ]; then echo 0 >"$1" || exit 1; fi
shift 2
"""
_CHANGE_USER = """
_vs_step=user
exec "$@"
"""
# Parameters: umask, directory, name of the pid variable or "", how many NAME=value follow, these,
# program and arguments. dash runs the trap when exec fails; bash would exit without it.
_BECOME = """
echo entered >&9
_vs_step=directory
trap 'echo "$_vs_step" >&9' EXIT
umask "$1"
cd -P -- "$2" || exit 1
_vs_pid=$3 _vs_late=$4
shift 4
unset PWD OLDPWD SHLVL
while [ "$_vs_late" -gt 0 ]; do export "$1"; shift; _vs_late=$((_vs_late - 1)); done
if [ -n "$_vs_pid" ]; then export "$_vs_pid=$$"; fi
_vs_step=exec
if [ -n "${BASH_VERSION-}" ]; then shopt -s execfail; fi
{ exec "$@"; } 9>&-
exit 126
"""


class ShellSpawner:
    """Makes processes through `/bin/sh`; blocks for a few milliseconds each."""

    def __init__(self, search_path: str = DEFAULT_PATH) -> None:
        self._setpriv = shutil.which("setpriv", path=search_path)

    def spawn(self, plan: SpawnPlan) -> Child:
        """Make the process; see `Spawner.spawn`."""
        _refuse_impossible(plan)
        words = _shell_words(plan, self._setpriv)
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                made = _make(plan, words, theirs.fileno())
            ours.settimeout(_PATIENCE_SECONDS)
            try:
                warnings = _adjust(plan, made.pid)
                said = _open_gate(ours)
            except (SpawnError, OSError) as error:
                ours.close()
                _end(made)
                if isinstance(error, SpawnError):
                    raise
                raise spawn_error(plan, "exec", error.errno or errno.EAGAIN) from error
        if said != ["entered"]:
            raise _failure(plan, said, code=_reap(made).code)
        return replace(made, warnings=(*_dropped_variables(plan), *made.warnings, *warnings))


def _refuse_impossible(plan: SpawnPlan) -> None:
    if len(plan.descriptors) > _GATE:
        raise SpawnError(
            "descriptors",
            f"cannot pass {len(plan.descriptors)} descriptors: at most {_GATE} without the C extension",
            is_permanent=True,
        )
    if plan.credentials is not None:
        _require_own(plan, "SETGID", "groups")
        _require_own(plan, "SETUID", "user")
    if plan.capabilities is not None:
        _require_own(plan, "SETPCAP", "capabilities")


def _require_own(plan: SpawnPlan, capability: str, stage: str) -> None:
    if not own_capabilities("CapEff") >> NUMBER_BY_NAME[f"CAP_{capability}"] & 1:
        raise spawn_error(plan, stage, errno.EPERM)


def _shell_words(plan: SpawnPlan, setpriv: str | None) -> list[str]:
    """Return the whole command line of the shell."""
    late = [f"{name}={value}" for name, value in plan.environment.items() if _is_late(name)]
    program = plan.executable if plan.executable.startswith("/") else f"./{plan.executable}"
    become = [
        f"{plan.umask:04o}",
        plan.directory,
        plan.pid_variable or "",
        str(len(late)),
        *late,
        program,
        *plan.argv[1:],
    ]
    procs = "" if plan.cgroup_fd is None else f"{_path_of(plan.cgroup_fd)}/cgroup.procs"
    status = "" if plan.status_fd is None else _path_of(plan.status_fd)
    privileges = _privilege_options(plan)
    if not privileges:
        return [_SHELL, "-c", _ENTER + _BECOME, "sh", procs, status, *become]
    if setpriv is None:
        raise SpawnError(
            "user",
            "cannot change credentials: neither the C extension nor setpriv (util-linux) is there",
            is_permanent=True,
        )
    through = [setpriv, *privileges, _SHELL, "-c", _BECOME, "sh", *become]
    return [_SHELL, "-c", _ENTER + _CHANGE_USER, "sh", procs, status, *through]


def _is_late(name: str) -> bool:
    """Tell which variables must not reach the shell: what it sets itself, and what the loader obeys."""
    return name in _SHELLS_OWN or name.startswith("LD_")


def _path_of(directory_fd: int) -> str:
    return str(Path(f"/proc/self/fd/{directory_fd}").readlink())


def _privilege_options(plan: SpawnPlan) -> list[str]:
    """Return what setpriv is told; nothing when there is no need for it."""
    words: list[str] = []
    if plan.credentials is not None:
        groups = ",".join(str(gid) for gid in plan.credentials.groups)
        words += [f"--reuid={plan.credentials.uid}", f"--regid={plan.credentials.gid}"]
        words.append(f"--groups={groups}" if groups else "--clear-groups")
    if plan.capabilities is not None:
        chosen = [f"+{name.removeprefix('CAP_').lower()}" for name in plan.capabilities]
        is_plain_user = plan.credentials is not None and plan.credentials.uid != 0
        words.append(f"--bounding-set={','.join(['-all', *chosen])}")
        words.append(f"--inh-caps={','.join(['-all', *(chosen if is_plain_user else [])])}")
        words.append(f"--ambient-caps={','.join(['-all', *(chosen if is_plain_user else [])])}")
    if plan.no_new_privileges:
        words.append("--no-new-privs")
    return words


def _make(plan: SpawnPlan, words: list[str], gate: int) -> Child:
    """Start the shell, under a keeper if its end is to be written down."""
    with contextlib.ExitStack() as copies:
        try:
            actions = _steer(plan.descriptors, gate, copies)
        except OSError as error:
            raise spawn_error(plan, "descriptors", error.errno or errno.EBADF) from error
        try:
            return _start(plan, partial(_start_shell, plan, words, actions))
        except OSError as error:
            raise spawn_error(plan, "fork", error.errno or errno.EAGAIN) from error


def _start(plan: SpawnPlan, start_shell: Callable[[], int]) -> Child:
    if plan.status_fd is None:
        return Child(start_shell())
    command = keeper_command(plan.executable)
    pid, keeper, error = start_under_keeper(start_shell, command, plan.status_fd)
    if error:
        return Child(pid, (warning(plan, "keeper", 0, error),))
    return Child(pid, (), keeper)


def _start_shell(plan: SpawnPlan, words: list[str], actions: list[tuple[int, ...]]) -> int:
    environment = {name: value for name, value in plan.environment.items() if not _is_late(name)}
    return os.posix_spawn(
        _SHELL,
        words,
        environment,
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
    )


def _steer(
    descriptors: tuple[int, ...], gate: int, copies: contextlib.ExitStack
) -> list[tuple[int, ...]]:
    """Return the file actions that give every descriptor its number and close all others.

    Sources are first copied above all targets, so that none overwrites another; `copies` closes
    these copies again.
    """
    targets = {**dict(enumerate(descriptors)), _GATE: gate}
    actions: list[tuple[int, ...]] = []
    for target, source in targets.items():
        copy = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, _GATE + 1)
        copies.callback(os.close, copy)
        actions.append((os.POSIX_SPAWN_DUP2, copy, target))
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable() if fd not in targets]
    return actions


def _inheritable() -> list[int]:
    """Return our descriptors that an exec would pass on; Python itself makes none."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - plain names, hundreds of them
        with contextlib.suppress(OSError):  # the one that listed the directory
            if os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def _adjust(plan: SpawnPlan, pid: int) -> list[str]:
    """Set from outside what needs no step of the child's own; return what was denied."""
    warnings: list[str] = []

    def attempt(stage: str, index: int, step: Callable[[], object]) -> bool:
        try:
            step()
        except PermissionError as error:
            warnings.append(warning(plan, stage, index, error.errno or errno.EPERM))
            return False
        except (OSError, ValueError) as error:
            raise spawn_error(plan, stage, getattr(error, "errno", None) or errno.EINVAL) from error
        return True

    for index, limit in enumerate(plan.limits):
        if not attempt("limits", index, lambda limit=limit: _set_limit(pid, limit)):  # type: ignore[misc]  # a default binds the loop's value
            _lower_limit(pid, limit)
    if plan.oom_score_adjust is not None:
        attempt("oom-score", 0, lambda: _set_oom_score(pid, plan.oom_score_adjust))
    if plan.nice is not None:
        nice = plan.nice
        attempt("nice", 0, lambda: os.setpriority(os.PRIO_PROCESS, pid, nice))
    return warnings


def _set_limit(pid: int, limit: Limit) -> None:
    resource.prlimit(pid, RESOURCE_BY_NAME[limit.name], limit_values(limit))


def _lower_limit(pid: int, limit: Limit) -> None:
    number = RESOURCE_BY_NAME[limit.name]
    _, hard = resource.prlimit(pid, number)
    resource.prlimit(pid, number, lowered_to(limit, hard))


def _set_oom_score(pid: int, score: int | None) -> None:
    file = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY)
    try:
        os.write(file, str(score).encode())
    finally:
        os.close(file)


def _open_gate(ours: socket.socket) -> list[str]:
    """Let the shell go on; return what it said until it became the program or ended."""
    ours.sendall(b"go\n")
    said = b""
    while part := ours.recv(256):
        said += part
    return said.decode("ascii", "replace").split()


def _end(made: Child) -> None:
    """Kill and reap a shell that is not to become the program."""
    os.kill(made.pid, signal.SIGKILL)  # unreaped, by us and by its keeper: nobody else's number
    _reap(made)


def _reap(made: Child) -> ExitStatus:
    """Wait for the end of a shell, and of its keeper, which hands it over to us by ending."""
    if made.keeper is not None:
        os.waitpid(made.keeper, 0)
    return from_wait_status(os.waitpid(made.pid, 0)[1])


def _failure(plan: SpawnPlan, said: list[str], *, code: int | None) -> SpawnError:
    # "entered" last: it was killed between two steps. Nothing at all: setpriv refused.
    stage = said[-1] if said else "user"
    return spawn_error(plan, stage, _likely_errno(plan, stage, code))


def _likely_errno(plan: SpawnPlan, stage: str, code: int | None) -> int:
    """Return why the shell failed; it tells no errno, so look at what it was given."""
    if stage == "directory":
        return _directory_errno(plan.directory)
    if stage == "exec" and code == 127:
        return errno.ENOENT
    if stage == "exec":
        return _program_errno(Path(plan.directory, plan.executable))
    return errno.EPERM if stage == "user" else errno.ENODEV


def _directory_errno(directory: str) -> int:
    try:
        is_directory = Path(directory).is_dir()
        Path(directory).stat()
    except OSError as error:
        return error.errno or errno.EACCES
    return errno.EACCES if is_directory else errno.ENOTDIR


def _program_errno(program: Path) -> int:
    try:
        with program.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        return error.errno or errno.EACCES
    return errno.EACCES if head == b"\x7fELF" or head[:2] == b"#!" else errno.ENOEXEC


def _dropped_variables(plan: SpawnPlan) -> list[str]:
    names = [name for name in plan.environment if not _IDENTIFIER.match(name)]
    if not names:
        return []
    return [f"cannot pass variables {', '.join(names)}: not names a shell knows"]
