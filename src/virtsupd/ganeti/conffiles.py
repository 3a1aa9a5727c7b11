"""Configuration files of Debian's packages, and whether they are as the package brought them."""

import re
from pathlib import Path
from typing import Final

from virtsupd.ganeti.things import digest_at

_ENTRY: Final = " {path} (?P<md5>[0-9a-f]{{32}})(?: obsolete| remove-on-upgrade)?\n"


def is_as_packaged(path: Path, dpkg_status: Path) -> bool:
    """Whether a file is a package's configuration file that nobody has changed since; False without dpkg.

    Raises:
        OSError: the file cannot be read.
    """
    wanted = re.compile(_ENTRY.format(path=re.escape(str(path))))
    try:
        with dpkg_status.open(encoding="utf-8", errors="replace") as lines:
            found = [match["md5"] for line in lines if (match := wanted.fullmatch(line))]
    except OSError:
        return False
    return bool(found) and digest_at(path, "md5") in found
