"""`python -m virtsupd.ganeti.configure FILE`: have in /etc/ganeti what the settings say; `--remove RECORD`: nothing of it.

virtsupd runs it as a one-shot, and the second form once that is stopped for good or gone from its
configuration. It may be killed at any time; the next run goes on.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from virtsupd.errors import VirtsupdError, in_one_line
from virtsupd.ganeti.configuration_record import RecordFile, locked_record
from virtsupd.ganeti.configuration_settings import DPKG_STATUS, ConfigurationSettings
from virtsupd.ganeti.owned_tree import OwnedTree
from virtsupd.ganeti.things import Thing, directory_thing, file_thing, link_thing
from virtsupd.process.settings_file import read_settings

_REMOVE: Final = "--remove"
_PLAIN, _SECRET, _EXECUTABLE = 0o644, 0o600, 0o755
_PUBLIC: Final = ("variants.list", "file-storage-paths")
"""Files that also Ganeti's daemons without root's rights read; variants may hold passwords, and root sources them."""


def configure(settings: ConfigurationSettings) -> Iterator[str]:
    """Have there what the settings say, and nothing else of ours; yield what is done, in words.

    Raises:
        VirtsupdError: something is in the way, or the record cannot be trusted; nothing was done.
        OSError: a file cannot be read or made.
    """
    wanted = things(settings)
    with locked_record(Path(settings.record)) as record:
        yield from OwnedTree(record, Path(settings.dpkg_status)).make(wanted)


def obstacles(settings: ConfigurationSettings) -> Iterator[str]:
    """Yield what would keep `configure` from its work on this host as it is now; nothing is done.

    Who may not look at the files and the record is told nothing.
    """
    try:
        record = RecordFile(Path(settings.record))
        OwnedTree(record, Path(settings.dpkg_status)).plan(things(settings))
    except PermissionError:
        return
    except (VirtsupdError, OSError) as error:
        yield in_one_line(error)


def take_away(record: Path) -> Iterator[str]:
    """Take away all that the record says is ours; yield what had to be left, in words.

    Raises:
        VirtsupdError: the record or a directory cannot be trusted.
        OSError: not all could be taken away.
    """
    if record.exists():
        with locked_record(record) as file:
            yield from OwnedTree(file, Path(DPKG_STATUS)).take_all_away()


def things(settings: ConfigurationSettings) -> dict[str, Thing]:
    """Return what is to be there by path, in order; a list of variants after them.

    Raises:
        OSError: a file that is to be copied cannot be read.
    """
    contents = {path: Path(source).read_bytes() for path, source in settings.copies.items()}
    contents |= {path: text.encode() for path, text in settings.files.items()}
    return {
        **dict.fromkeys(settings.directories, directory_thing()),
        **{
            path: file_thing(content, mode=_mode(path, settings))
            for path, content in contents.items()
        },
        **{path: link_thing(target) for path, target in settings.links.items()},
    }


def _mode(path: str, settings: ConfigurationSettings) -> int:
    if path in settings.executables:
        return _EXECUTABLE
    return _PLAIN if Path(path).name in _PUBLIC else _SECRET


def main(words: Sequence[str], say: Callable[[str], object] = print) -> int:
    """Say what is done, line by line; return 0 if all is as it is to be, else 1."""
    try:
        if words[0] == _REMOVE:
            left = list(take_away(Path(words[1])))
            if left:
                say("; ".join(left))
            return 1 if left else 0
        for done in configure(read_settings(Path(words[0]), ConfigurationSettings)):
            say(done)
    except (VirtsupdError, OSError) as error:
        say(in_one_line(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
