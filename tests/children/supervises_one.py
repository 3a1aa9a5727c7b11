"""Start a command as virtsupd does, its status kept in a file, and wait to be killed.

Arguments: spawner, file, command. Prints the pids of the process and of its keeper.
"""

import signal
import sys
from pathlib import Path

from virtsupd.core.spec import LogSpec, ProcessSpec
from virtsupd.process.plan import plan_process
from virtsupd.process.reaper import become_subreaper
from virtsupd.process.spawn import ExtensionSpawner, ShellSpawner
from virtsupd.process.status_file import open_status

name, file, *command = sys.argv[1:]
become_subreaper()
plan = plan_process(
    ProcessSpec(tuple(command), LogSpec("")),
    extra_environment={},
    descriptors=(0, 2, 2),
    cgroup_fd=None,
    status_fd=open_status(Path(file)),
)
spawner = {made.__name__: made for made in (ExtensionSpawner, ShellSpawner)}[name]()
child = spawner.spawn(plan)
sys.stdout.write(f"{child.pid} {child.keeper}\n")
sys.stdout.flush()
signal.pause()
