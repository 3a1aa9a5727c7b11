"""Print what a service was given, as one line of JSON, and stay.

argv[1] "ends": end at once, with argv[2] as exit code.
"""

import grp
import json
import os
import pathlib
import resource
import signal
import sys

status = dict(
    line.split(":\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines()
)
made = pathlib.Path(os.environ["SVC_MAKES"]) if "SVC_MAKES" in os.environ else None
if made is not None:
    made.touch(0o777)
report = {
    "pid": os.getpid(),
    "session": os.getsid(0),
    "uid": os.getresuid(),
    "gid": os.getresgid(),
    "groups": sorted(os.getgroups()),
    "group_names": sorted(grp.getgrgid(group).gr_name for group in os.getgroups()),
    "directory": str(pathlib.Path.cwd()),
    "made_mode": made.stat().st_mode & 0o777 if made is not None else None,
    "environment": dict(os.environ),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "nice": os.getpriority(os.PRIO_PROCESS, 0),
    "oom": int(pathlib.Path("/proc/self/oom_score_adj").read_text()),
    "no_new_privileges": status["NoNewPrivs"].strip(),
    "capabilities": int(status["CapEff"], 16),
    "bounding": int(status["CapBnd"], 16),
    "descriptors": sorted(int(fd.name) for fd in pathlib.Path("/proc/self/fd").iterdir())[:-1],
    "cgroup": pathlib.Path("/proc/self/cgroup").read_text(),
}
sys.stdout.write(json.dumps(report) + "\n")
sys.stdout.flush()
if sys.argv[1:2] == ["ends"]:
    sys.exit(int(sys.argv[2]))
signal.pause()
