"""What of this host has to be equal on all nodes of a cluster: `python -m virtsupd.ganeti.facts SETTINGS`.

It prints one line of JSON, an object whose keys say in words what a value is about. SETTINGS is such an
object, too: what virtsupd's own configuration says, which the caller knows.
"""

import hashlib
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from virtsupd import __version__
from virtsupd.ganeti.providers import PROVIDER_DIRECTORIES

ETC: Final = Path("/etc/ganeti")
LIBRARY: Final = Path("/var/lib/ganeti")
_LEFT_OUT: Final = ("config.sh", "~", ".dpkg-old", ".dpkg-dist", ".virtsupd-saved", ".virtsupd-new")
"""Ends of the names of files that no provider reads, or that say how this host is built."""
_DIGEST_LETTERS: Final = 12
MISSING: Final = "nothing"


def facts(
    settings: Mapping[str, str],
    *,
    etc: Path = ETC,
    library: Path = LIBRARY,
    providers: Sequence[str] = PROVIDER_DIRECTORIES,
) -> dict[str, str]:
    """Return what is to be compared. May ask the DNS for the names of all nodes.

    What cannot be read is "nothing", as what is not there.
    """
    return {
        "version of virtsupd": __version__,
        **{f"[ganeti] {key}": value for key, value in settings.items()},
        **dict(_addresses(library)),
        **dict(_files(etc)),
        **dict(_providers(providers)),
    }


def _addresses(library: Path) -> Iterator[tuple[str, str]]:
    """Yield what the names of all nodes and of the cluster mean here."""
    for name in ("node_list", "cluster_name"):
        text = ""
        with suppress(OSError):
            text = (library / f"ssconf_{name}").read_text(errors="replace")
        for host in text.split():
            yield f"address of {host}", _address(host)


def _address(host: str) -> str:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return MISSING
    return ", ".join(sorted({str(entry[4][0]) for entry in found}))


def _files(etc: Path) -> Iterator[tuple[str, str]]:
    """Yield the digests of what says where disks may lie, and of what OS providers read."""
    paths = etc / "file-storage-paths"
    yield str(paths), _digest(paths)
    for folder in sorted(etc.glob("instance-*")):
        for path in _below(folder):
            yield str(path), _digest(path)


def _providers(directories: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield a digest of each OS provider; of two with one name Ganeti takes the first."""
    seen: set[str] = set()
    for directory in map(Path, directories):
        for folder in sorted(directory.glob("*")):
            if folder.name not in seen and (folder / "ganeti_api_version").is_file():
                seen.add(folder.name)
                parts = (f"{path.relative_to(folder)} {_digest(path)}" for path in _below(folder))
                whole = hashlib.sha256("\n".join(parts).encode(errors="surrogateescape"))
                yield f"OS provider {folder.name}", whole.hexdigest()[:_DIGEST_LETTERS]


def _below(folder: Path) -> Iterator[Path]:
    for directory, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            if not name.endswith(_LEFT_OUT):
                yield Path(directory, name)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGEST_LETTERS]
    except OSError:
        return MISSING


def main(words: Sequence[str]) -> int:
    """Print the facts; return the exit code."""
    [settings] = words
    sys.stdout.write(f"{json.dumps(facts(json.loads(settings)))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
