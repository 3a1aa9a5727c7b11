"""Write what this process was given, as JSON, to standard output."""

import json
import os
import resource
import sys
from pathlib import Path


def target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return "/proc/"


descriptors = {entry.name: target(entry) for entry in Path("/proc/self/fd").iterdir()}
json.dump(
    {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "group": os.getpgid(0),
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "directory": str(Path.cwd()),
        "umask": os.umask(0),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "descriptors": {fd: to for fd, to in descriptors.items() if not to.startswith("/proc/")},
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "oom_score": int(Path("/proc/self/oom_score_adj").read_text()),
        "cgroup": Path("/proc/self/cgroup").read_text().splitlines()[-1],
    },
    sys.stdout,
)
