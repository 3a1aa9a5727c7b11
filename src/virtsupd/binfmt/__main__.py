"""`python -m virtsupd.binfmt FILE`: hold the entries that a file of settings says, until TERM."""

import sys
from pathlib import Path

from virtsupd.binfmt.saying import Saying, open_streams, words
from virtsupd.binfmt.serving import Serving
from virtsupd.process.own_notify import OwnNotify
from virtsupd.process.settings_file import SettingsError


def main() -> int:
    """Return the exit status: 0 after TERM, 1 if the platforms cannot all be entered."""
    [path] = sys.argv[1:]
    open_streams()
    saying = Saying(OwnNotify())
    try:
        serving = Serving(Path(path), saying)
    except (SettingsError, OSError) as error:
        saying.log(words(error))
        saying.tell(words(error))
        return 1
    return serving.run()


if __name__ == "__main__":
    sys.exit(main())
