"""What is said, and whether trying again helps, when a step of making a process fails."""

import errno
import os
import shlex

from virtsupd.errors import SpawnError
from virtsupd.process.limits import denial
from virtsupd.process.plan import SpawnPlan

_PASSING = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.EINTR,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.ETXTBSY,
    }
)


def spawn_error(plan: SpawnPlan, stage: str, error: int) -> SpawnError:
    """Return the error for a failed stage and its errno, with a sentence for people.

    Shortages (memory, processes, descriptors) pass; a cgroup can be made anew; everything else
    needs a change by somebody.
    """
    is_permanent = error not in _PASSING and stage not in {"cgroup", "fork"}
    return SpawnError(
        stage,
        f"cannot {_attempt(plan, stage)}: {_reason(plan, stage, error)}",
        is_permanent=is_permanent,
    )


def warning(plan: SpawnPlan, stage: str, index: int, error: int) -> str:
    """Return the sentence for what the kernel denied; `index` counts the plan's limits."""
    reason = os.strerror(error)
    if stage == "limits":
        return denial(plan.limits[index], reason)
    if stage == "oom-score":
        return f"cannot set the OOM score adjustment to {plan.oom_score_adjust}: {reason}"
    if stage == "keeper":
        return f"cannot keep how it ends, should virtsupd be away then: {reason}"
    return f"cannot set nice to {plan.nice}: {reason}"


def _attempt(plan: SpawnPlan, stage: str) -> str:
    user = plan.credentials
    sentences = {
        "fork": "make a process",
        "cgroup": "make a process in its cgroup",
        "session": "make a session",
        "descriptors": f"pass {len(plan.descriptors)} descriptors",
        "limits": f"set limits {', '.join(limit.name for limit in plan.limits)}",
        "oom-score": f"set the OOM score adjustment to {plan.oom_score_adjust}",
        "nice": f"set nice to {plan.nice}",
        "capabilities": f"reduce capabilities to {', '.join(plan.capabilities or ()) or 'none'}",
        "groups": f"set supplementary groups {user.groups if user else ()}",
        "group": f"become group {user.gid if user else ''}",
        "user": f"become user {user.user_name if user else ''}",
        "no-new-privileges": "renounce new privileges",
        "directory": f"enter directory {plan.directory}",
        "exec": f"run {plan.executable}",
    }
    return sentences.get(stage, f"make a process (stage {stage})")


def _reason(plan: SpawnPlan, stage: str, error: int) -> str:
    if error == 0:
        return "refused"
    path = os.path.join(plan.directory, plan.executable)  # noqa: PTH118 - joins two plain strings
    if stage == "directory" and error == errno.ENOENT:
        return f"{os.strerror(error)}; mkdir -p {shlex.quote(plan.directory)}, or change directory"
    if stage == "exec" and error == errno.ENOENT and os.path.exists(path):  # noqa: PTH110 - likewise
        return f"{os.strerror(error)}: its interpreter is missing"
    return os.strerror(error)
