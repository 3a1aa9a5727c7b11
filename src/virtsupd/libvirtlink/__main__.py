"""`python -m virtsupd.libvirtlink URI [BACKEND]`: virtsupd speaks with it on standard input and output.

BACKEND may be "virsh", which is used without being asked for where libvirt-python is missing.
"""

import signal
import sys
from contextlib import suppress

from virtsupd.libvirtlink.backend import Backend
from virtsupd.libvirtlink.link import Link, end
from virtsupd.libvirtlink.virsh import Virsh


def main() -> None:
    """Serve until virtsupd is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uri, *named = sys.argv[1:]
    Link(_backend(uri, *named)).run()
    end()


def _backend(uri: str, name: str = "") -> Backend:
    """Return the library where there is one; virsh can do the same, at some 20 ms a call."""
    if name != Virsh.name:
        with suppress(ImportError):
            return _library(uri)
    return Virsh(uri)


def _library(uri: str) -> Backend:
    from virtsupd.libvirtlink.library import Library  # noqa: PLC0415  (libvirt-python may be missing)

    return Library(uri)


if __name__ == "__main__":
    main()
