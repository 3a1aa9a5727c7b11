"""The actions register and unregister of qemu-binfmt: put platforms on, or take them off.

A program of its own, which virtsupd runs: `python -m virtsupd.services.binfmt_switch ACTION FILE
PLATFORM…`, with the file of settings. The process that holds the entries sees what it did.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from virtsupd.binfmt.entries import BinfmtError
from virtsupd.binfmt.holding import Holder
from virtsupd.binfmt.platforms import QemuPlatform, lookup_qemu_platforms
from virtsupd.binfmt.settings import Settings
from virtsupd.process.settings_file import read_settings
from virtsupd.services.action_program import ActionParser, told

_ABOUT: Final = {
    "register": "enter platforms that were taken off",
    "unregister": "take platforms off until they are registered again, or the service starts again",
}


def switch(action: str, settings: Settings, names: Sequence[str]) -> str:
    """Put platforms on or take them off; return what was done, in words.

    Raises:
        BinfmtError: a name is not among the service's platforms.
        HoldError: one cannot be entered; nothing was done.
        OSError: the kernel refuses it, or the record cannot be kept.
    """
    platforms = _platforms(settings, names)
    holder = Holder(settings)
    if action == "register":
        holder.put_on(platforms)
        return f"registered: {', '.join(names)}"
    holder.take_off(platforms)
    return f"taken off until register, or the next start: {', '.join(names)}"


def _platforms(settings: Settings, names: Sequence[str]) -> Sequence[QemuPlatform]:
    for name in names:
        if name not in settings.platforms:
            known = ", ".join(settings.platforms) or "none"
            raise BinfmtError(
                f"{name} is not among the platforms of [qemu_binfmt], which are: {known}"
            )
    return lookup_qemu_platforms(*names, bytes=settings.bytes)


def main() -> int:
    """Do what the command line says; return the exit status."""
    action, file, *words = sys.argv[1:]
    parser = ActionParser(f"virtsupctl {action} qemu-binfmt", _ABOUT[action])
    parser.add_argument("platforms", nargs="+", metavar="PLATFORM", help="such as aarch64")

    def work() -> str:
        names = parser.parse_args(words).platforms
        return switch(action, read_settings(Path(file), Settings), list(dict.fromkeys(names)))

    return told(f"{action} platforms", work)


if __name__ == "__main__":
    sys.exit(main())
