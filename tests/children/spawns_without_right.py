"""Give up rights, then make a process with the spawner named in argv[1]; print stage and permanence.

argv[2] says what is tried: "fork" with no further process allowed, to become another user ("groups")
or to renounce "capabilities" as an ordinary user.
"""

import os
import resource
import sys

from virtsupd.errors import SpawnError
from virtsupd.process.identity import Credentials
from virtsupd.process.plan import SpawnPlan
from virtsupd.process.spawn import ExtensionSpawner, ShellSpawner, Spawner

UNUSED = 54321
spawner: Spawner = ShellSpawner() if sys.argv[1] == "ShellSpawner" else ExtensionSpawner()
becomes = None
if sys.argv[2] == "groups":
    becomes = Credentials(UNUSED + 1, UNUSED + 1, (), "/", "/bin/sh", "x")
plan = SpawnPlan(
    executable="/bin/true",
    argv=("true",),
    environment={},
    directory="/",
    umask=0o022,
    credentials=becomes,
    limits=(),
    capabilities=() if sys.argv[2] == "capabilities" else None,
    no_new_privileges=False,
    oom_score_adjust=None,
    nice=None,
    descriptors=(0, 1, 2),
    cgroup_fd=None,
)
if sys.argv[2] == "fork":
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
os.setgroups([])
os.setresgid(UNUSED, UNUSED, UNUSED)
os.setresuid(UNUSED, UNUSED, UNUSED)
try:
    spawner.spawn(plan)
except SpawnError as error:
    sys.stdout.write(f"{error.stage} {error.is_permanent}\n")
