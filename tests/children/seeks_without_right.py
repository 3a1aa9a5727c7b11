"""As an ordinary user, seek the session leader that writes into the FIFO argv[1], since argv[2]."""

import os
import sys
from pathlib import Path

from virtsupd.process.lives import epoch
from virtsupd.process.survivors import leader_by_output

UNUSED = 54321

epoch()  # has the interpreter read what it needs, while it may
os.setgroups([])
os.setresgid(UNUSED, UNUSED, UNUSED)
os.setresuid(UNUSED, UNUSED, UNUSED)
try:
    sys.stdout.write(f"{leader_by_output(Path(sys.argv[1]), since=int(sys.argv[2]))}\n")
except PermissionError as error:
    sys.stdout.write(f"{error.strerror}\n")
