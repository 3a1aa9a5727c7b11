"""`python -m virtsupd.binfmt FILE`: hold the entries that a file of settings says, until TERM."""

import sys
from pathlib import Path

from virtsupd.binfmt.serving import Serving
from virtsupd.binfmt.settings import SettingsError
from virtsupd.process.own_notify import OwnNotify


def main() -> int:
    """Return the exit status: 0 after TERM, 1 if the platforms cannot all be entered."""
    [path] = sys.argv[1:]
    try:
        serving = Serving(Path(path), OwnNotify())
    except (SettingsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return serving.run()


if __name__ == "__main__":
    sys.exit(main())
