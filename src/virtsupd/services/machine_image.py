"""The actions image-info, image-fetch and image-build of a machine.

A program of its own, which virtsupd runs: `python -m virtsupd.services.machine_image ACTION FILE
[OPTION…]`, with the file of settings. At a terminal it shows how far it is.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from virtsupd.errors import VirtsupdError
from virtsupd.machine.image import Work, demand_usable, see_to
from virtsupd.machine.image_facts import account_of, facts_of
from virtsupd.machine.image_locks import users_of
from virtsupd.machine.image_record import Record, read_record
from virtsupd.machine.image_report import Report, mib
from virtsupd.machine.image_settings import Settings
from virtsupd.machine.image_source import (
    BuiltImage,
    ImageError,
    PathImage,
    UrlImage,
    place_of,
    source_of,
)
from virtsupd.process.own_notify import OwnNotify
from virtsupd.process.settings_file import read_settings
from virtsupd.services.action_program import USAGE, ActionParser, json_text, table_text, told
from virtsupd.times import stamp

_TERMINAL: Final = 2


class NotMeantError(VirtsupdError):
    """The action is for an image of another origin."""

    code = "other-image"


def facts(settings: Settings) -> dict[str, object]:
    """Return what is known of a machine's image, as JSON has it; what is not known is null."""
    place = place_of(settings)
    record = read_record(place)
    found: dict[str, object] = {
        "origin": _origin(settings),
        "path": str(place),
        "is_stateful": settings.is_stateful,
        "format": None,
        "virtual_bytes": None,
        "disk_bytes": None,
        "backing": None,
        "checksum": record.checksum if record else _checksum(settings),
        "checked_at": record.at if record else None,
        "fits": _fits(record, place, settings),
        "users": [{"pid": pid, "name": name} for pid, name in users_of(place)],
        "fault": _fault(settings),
    }
    with suppress(ImageError):
        asked = facts_of(place, account_of(settings.user, settings.group), settings.qemu_img)
        found |= {"format": asked.image_format, "virtual_bytes": asked.virtual_bytes}
        found |= {"disk_bytes": asked.disk_bytes, "backing": asked.backing}
    return found


def _origin(settings: Settings) -> str:
    match source_of(settings):
        case PathImage(path):
            return path
        case UrlImage() as fetched:
            return fetched.shown_url
        case BuiltImage(os=file):
            return file


def _checksum(settings: Settings) -> str | None:
    source = source_of(settings)
    return str(source.checksum) if isinstance(source, UrlImage) else None


def _fits(record: Record | None, place: Path, settings: Settings) -> bool | None:
    """Whether the file is as it was when it was checked; None: nobody did, or a guest writes to it."""
    return None if record is None or settings.is_stateful else record.fits(place)


def _fault(settings: Settings) -> str | None:
    """Return why QEMU could not be started with it; None while it could."""
    try:
        demand_usable(settings)
    except ImageError as error:
        return str(error)
    return None


def table(found: Mapping[str, object]) -> str:
    """Return a line for each fact that is known."""
    rows = [("from", str(found["origin"])), ("path", str(found["path"]))]
    for title, key in (("format", "format"), ("laid on", "backing"), ("checksum", "checksum")):
        if found[key] is not None:
            rows.append((title, str(found[key])))
    for title, key in (("size", "virtual_bytes"), ("on disk", "disk_bytes")):
        count = found[key]
        if isinstance(count, int):
            rows.append((title, mib(count)))
    if isinstance(at := found["checked_at"], float):
        changed = ", and changed since" if found["fits"] is False else ""
        rows.append(("checked", f"{stamp(at)}{changed}"))
    rows.append(("writes", "are kept" if found["is_stateful"] else "are lost at its end"))
    rows.append(("in use", _users(found["users"])))
    if found["fault"] is not None:
        rows.append(("fault", str(found["fault"])))
    return table_text(rows)


def _users(users: object) -> str:
    listed = users if isinstance(users, list) else []
    return ", ".join(f"{user['name']} {user['pid']}" for user in listed) or "by nobody"


def _info(settings: Settings, words: Sequence[str]) -> str:
    parser = ActionParser(
        f"virtsupctl image-info {settings.machine}",
        "Show where the machine's image comes from, what it is, and who uses it.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(words)
    found = facts(settings)
    return json_text(found) if options.json else table(found)


def _fetch(settings: Settings, words: Sequence[str]) -> str:
    parser = ActionParser(
        f"virtsupctl image-fetch {settings.machine}",
        "Fetch the machine's image now, and not when it starts; go on with what has come before.",
    )
    parser.add_argument("--again", action="store_true", help="although it is there and checked")
    options = parser.parse_args(words)
    if not isinstance(source_of(settings), UrlImage):
        raise NotMeantError(f"{settings.machine} has {_other(settings)}, and no URL as its image")
    return see_to(Work(settings, _report(), is_again=options.again))


def _build(settings: Settings, words: Sequence[str]) -> str:
    parser = ActionParser(
        f"virtsupctl image-build {settings.machine}",
        "Build the machine's image with Guix now, also if its file has not changed; the machine "
        "has it at its next start.",
    )
    parser.parse_args(words)
    if not isinstance(source_of(settings), BuiltImage):
        raise NotMeantError(f"{settings.machine} has {_other(settings)}, and no os to build")
    return see_to(Work(settings, _report(), is_again=True))


def _other(settings: Settings) -> str:
    match source_of(settings):
        case PathImage(path):
            return f"image = {path}"
        case UrlImage() as fetched:
            return f"image = {fetched.shown_url}"
        case BuiltImage(os=file):
            return f"os = {file}"


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _report() -> Report:
    """Return what speaks to a terminal, if there is one; virtsupd shows what is printed at the end."""
    if not os.isatty(_TERMINAL):
        return Report(OwnNotify(), log=lambda _: None)
    return Report(OwnNotify(), log=_tell, terminal=_TERMINAL)


_ACTIONS: Final[Mapping[str, tuple[str, Callable[[Settings, Sequence[str]], str]]]] = {
    "info": ("tell what the image is", _info),
    "fetch": ("fetch the image", _fetch),
    "build": ("build the image", _build),
}


def main(words: Sequence[str]) -> int:
    """Print what came of it; return the exit code."""
    action, file, *added = words
    what, work = _ACTIONS[action]
    wrong_usage = USAGE if action == "fetch" else os.EX_USAGE  # the one that virtsupctl runs itself
    return told(
        what, lambda: work(read_settings(Path(file), Settings), added), wrong_usage=wrong_usage
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
