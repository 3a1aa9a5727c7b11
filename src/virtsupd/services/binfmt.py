"""`[qemu_binfmt]`: programs of other architectures, run by the kernel through QEMU."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Final

from pydantic import PlainValidator

from virtsupd.binfmt.interpreters import InterpreterError, find
from virtsupd.binfmt.platforms import (
    ByteSet,
    QemuPlatform,
    UnknownPlatformError,
    can_match,
    colliding,
    is_qemu_platform,
    lookup_qemu_platforms,
)
from virtsupd.binfmt.recognition import runs_itself
from virtsupd.binfmt.settings import DIRECTORY, Settings
from virtsupd.config.kinds import Built, KindContext, KindParts
from virtsupd.config.model import KindTable
from virtsupd.config.problems import Fault
from virtsupd.config.settings import GeneratedFile
from virtsupd.config.values import AbsolutePath, PositiveSeconds, Text
from virtsupd.core.names import Name
from virtsupd.process.settings_file import key_names
from virtsupd.services.package import module

__all__ = ["QemuPlatform", "is_qemu_platform", "lookup_qemu_platforms"]

UNIT: Final = "qemu-binfmt"
MOUNT: Final = f"file-system-{DIRECTORY}"
_CREDENTIALS: Final = "C"
_FLAGS: Final = "FPCO"
_HEALTH: Final = {"interval": "5min", "timeout": "60s", "failures": 2, "on_failure": "degrade"}
_VERIFY_SECONDS: Final = 60.0


def _flags(value: object) -> str:
    if not isinstance(value, str) or len(set(value)) != len(value) or set(value) - set(_FLAGS):
        raise ValueError('letters of "FPCO", each at most once, such as "FP"')
    return value


class BinfmtTable(KindTable):
    """The fields of qemu-binfmt-configuration, and what the specification has no names for."""

    qemu: AbsolutePath | None = None
    """Prefix of the QEMU whose user-mode emulators are entered, sought in its bin; default: where
    distributions put them, /usr/bin/qemu-NAME-static before /usr/bin/qemu-NAME."""
    platforms: tuple[Text, ...] = ()
    """Names of the platforms whose programs are to run; a name that is none is refused, and so is a
    platform of the host's own family."""
    flags: Annotated[str, PlainValidator(_flags)] = "FP"
    """Flags of the entries. F: the emulator is opened once and serves in every root, so it has to be
    static. P: programs keep their argv[0]. O: the program is opened for the emulator, also where it
    may only be executed. C: set-user-ID programs of these platforms get what their owner may do."""
    bytes: ByteSet = "debian"
    """Whose magic and mask: "debian", or "guix" for those of the specification, of which some collide."""
    recheck: PositiveSeconds | None = None
    """How often the entries are looked at without a reason. Default: whenever the kernel tells of a
    change, or every 30 s where it cannot tell."""


def build(table: BinfmtTable, context: KindContext) -> Built:
    """Return what the table changes in the units, and the file of settings."""
    directory = context.host.generated_dir / "qemu_binfmt"
    settings = Settings(
        platforms=tuple(dict.fromkeys(table.platforms)),
        record=str(context.host.run_dir / "qemu-binfmt.json"),
        qemu=table.qemu,
        flags=table.flags,
        bytes=table.bytes,
        recheck_seconds=table.recheck,
    )
    problems = tuple(_problems(table))
    file = directory / "qemu-binfmt.conf"
    return Built(
        {UNIT: _keys(table, file, settings), MOUNT: _mount_keys()},
        files=(_file(file, settings),),
        problems=problems,
        warnings=tuple(_warnings(table)),
        host_faults=partial(_host_faults, table),
    )


def _file(path: Path, settings: Settings) -> GeneratedFile:
    """Return the settings; all of them are read again at HUP."""
    return GeneratedFile(path, 0o644, settings.text, Name(UNIT), key_names(Settings))


def _keys(table: BinfmtTable, file: Path, settings: Settings) -> dict[str, object]:
    verify = module("services.binfmt_verify", str(file))
    named = ", ".join(dict.fromkeys(table.platforms)) or "no platform"
    return {
        "command": module("binfmt", str(file)),
        "clean_up": module("binfmt.clearing", settings.record, settings.directory),
        "description": f"runs programs of other architectures through QEMU: {named}",
        "autostart": table.autostart,
        "health": {"kind": "exec", "command": verify, **_HEALTH},
        "actions": _actions(file),
    }


def _actions(file: Path) -> dict[str, object]:
    said = {
        "verify": "run a program of each platform, here or in another root; --help says more",
        "table": "list all entries of binfmt_misc, and whose they are; --json",
        "explain": "say which entry would run a program, or why none does",
        "register": "enter platforms that were taken off",
        "unregister": "take platforms off until register, or the next start",
    }
    programs = {"register": "binfmt_switch", "unregister": "binfmt_switch"}
    # They go into any root and container as root: what is executed there has no rights, but what
    # files lie there, and how they begin, is more than an operator may know.
    of_admin = {"verify", "explain"}
    return {
        action: {
            "command": module(
                f"services.{programs.get(action, f'binfmt_{action}')}",
                *([action] if action in programs else []),
                str(file),
            ),
            "description": description,
            "timeout": _VERIFY_SECONDS,
            "admin": action in of_admin,
        }
        for action, description in said.items()
    }


def _mount_keys() -> dict[str, object]:
    """Return how the mount is made: without the table, its unit only waits for it."""
    return {"command": module("binfmt.mount"), "one_shot": True, "ready": "exit"}


def _problems(table: BinfmtTable) -> Iterator[Fault]:
    machine, known = os.uname().machine, []
    for index, name in enumerate(table.platforms):
        place = ("platforms", index)
        try:
            [platform] = lookup_qemu_platforms(name, bytes=table.bytes)
        except UnknownPlatformError as error:
            yield place, str(error)
            continue
        if runs_itself(platform):
            why = f"{name!r} is of the host's own family, {platform.family} ({machine}): "
            yield place, f"{why}all its own programs would run through QEMU"
        elif not can_match(platform):
            yield place, f'{name!r} has bytes that fit no program with bytes = "{table.bytes}"'
        known.append(platform)
    for one, other in colliding(dict.fromkeys(known)):
        place = ("platforms", table.platforms.index(other.name))
        what = f'{one.name!r} and {other.name!r} have the same bytes with bytes = "{table.bytes}"'
        why = 'only one of them could ever run; leave one out, or say bytes = "debian"'
        yield place, f"{what}: {why}"


def _warnings(table: BinfmtTable) -> Iterator[Fault]:
    if _CREDENTIALS in table.flags:
        what = "with C a set-user-ID program of a foreign platform runs as its owner"
        yield ("flags",), f"{what}, in any root and container that can execute it"


def _host_faults(table: BinfmtTable) -> Iterator[Fault]:
    is_fixed = "F" in table.flags
    for index, name in enumerate(table.platforms):
        [platform] = lookup_qemu_platforms(name, bytes=table.bytes)
        try:
            find(platform, table.qemu, is_fixed=is_fixed)
        except InterpreterError as error:
            yield ("platforms", index), str(error)


BINFMT = KindParts(BinfmtTable, build)
