"""`python -m virtsupd.libvirtlink URI`: started by virtsupd, which speaks on standard input and output."""

import signal
import sys

from virtsupd.libvirtlink.backend import Backend
from virtsupd.libvirtlink.link import Link, end


def main() -> None:
    """Serve until virtsupd is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Link(_backend(sys.argv[1])).run()
    end()


def _backend(uri: str) -> Backend:
    """Return the library where there is one; virsh can do the same, at some 20 ms a call."""
    try:
        from virtsupd.libvirtlink.library import Library  # noqa: PLC0415  (may be missing)
    except ImportError:
        from virtsupd.libvirtlink.virsh import Virsh  # noqa: PLC0415  (see above)

        return Virsh(uri)
    return Library(uri)


if __name__ == "__main__":
    main()
