"""`python -m virtsupd.machine.image_program FILE [--again]`: have a machine's image there, and end.

virtsupd runs it before the machine, as a one-shot that says how far it is (STATUS=). Any signal may
end it at any time: what has been fetched is gone on with.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from virtsupd.errors import VirtsupdError, in_one_line
from virtsupd.machine.image import Work, see_to
from virtsupd.machine.image_report import Report
from virtsupd.machine.image_settings import Settings
from virtsupd.process.own_notify import OwnNotify
from virtsupd.process.settings_file import read_settings

AGAIN: Final = "--again"
"""What is there already is fetched or built once more."""


def main(words: Sequence[str]) -> int:
    """Return the exit status: 0 with an image that QEMU could be started with, else 1."""
    file, *others = words
    report = Report(OwnNotify())
    try:
        done = see_to(Work(read_settings(Path(file), Settings), report, is_again=AGAIN in others))
    except (VirtsupdError, OSError) as error:
        text = in_one_line(error)
        report.log(text)
        report.status(text)
        return 1
    report.log(done)
    report.status(done)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
