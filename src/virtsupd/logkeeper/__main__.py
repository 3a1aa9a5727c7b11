"""Start the log keeper: `python -I -S __main__.py RUN_DIR SITE`, with descriptor 3 to report on.

RUN_DIR is virtsupd's run directory, SITE a directory to import zstd from ("" for none). A newline on
descriptor 3 says that the keeper listens. Exit codes: 0 asked to end, 1 it could not start (standard
error says why).
"""

import os
import resource
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from virtsupd.logkeeper.keeper import AlreadyKeptError, Keeper


def main() -> int:
    """Run until asked to end."""
    run_dir, site = sys.argv[1:]
    os.umask(0)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two descriptors a log
    os.closerange(4, 65536)
    try:
        os.chdir(run_dir)
        keeper = Keeper(site)
    except (AlreadyKeptError, OSError) as error:
        sys.stderr.write(f"log keeper: {run_dir}: {error}\n")
        return 1
    keeper.take_signals()
    os.write(3, b"\n")
    os.close(3)
    keeper.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
