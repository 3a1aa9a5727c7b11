"""Write the own pid to a file at each line of input: made empty first, then filled."""

import os
import sys
from pathlib import Path

os.write(1, b"started\n")
for _ in sys.stdin:
    with Path(sys.argv[1]).open("w") as file:
        file.flush()
        file.write(f"{os.getpid()}\n")
    os.write(1, b"written\n")
