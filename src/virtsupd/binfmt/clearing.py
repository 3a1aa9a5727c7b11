"""`python -m virtsupd.binfmt.clearing RECORD DIRECTORY`: take away the entries that are ours.

For the time after the process that held them, however it ended: what it did take away is not there
any more, and what is somebody else's is left alone.
"""

import sys
from pathlib import Path

from virtsupd.binfmt.holding import Holder
from virtsupd.binfmt.mount import is_mounted, see_to
from virtsupd.binfmt.ownership import has_entries
from virtsupd.binfmt.saying import words
from virtsupd.binfmt.settings import Settings
from virtsupd.errors import VirtsupdError


def clear(record: Path, directory: Path) -> None:
    """Take away what the record says is ours in the table of that directory, and the record.

    A table that is not there any more may live on where somebody has mounted it too, or without any
    mount before Linux 6.7: it is mounted again, which brings back the same one if there is one.

    Raises:
        VirtsupdError: it is held by somebody else, or cannot be mounted.
        OSError: the kernel refuses it, or the record cannot be kept.
    """
    if not is_mounted(directory) and has_entries(record):
        see_to(directory)
    if record.exists() and is_mounted(directory):
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
