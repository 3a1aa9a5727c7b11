"""`python -m virtsupd.binfmt.clearing RECORD DIRECTORY`: take away the entries that are ours.

For the time after the process that held them, however it ended: what it did take away is not there
any more, and what is somebody else's is left alone.
"""

import sys
from pathlib import Path

from virtsupd.binfmt.holding import Holder
from virtsupd.binfmt.saying import words
from virtsupd.binfmt.settings import Settings
from virtsupd.errors import VirtsupdError


def clear(record: Path, directory: Path) -> None:
    """Take away what the record says is ours in the table of that directory, and the record.

    Raises:
        VirtsupdError: it is held by somebody else.
        OSError: the kernel refuses it, or the record cannot be kept.
    """
    if record.exists() and (directory / "status").exists():  # without a table there are no entries
        Holder(Settings((), record=str(record), directory=str(directory))).take_all_away()


def main() -> int:
    """Do it; return the exit status."""
    record, directory = map(Path, sys.argv[1:])
    try:
        clear(record, directory)
    except (VirtsupdError, OSError) as error:
        sys.stderr.write(f"not all could be taken away: {words(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
