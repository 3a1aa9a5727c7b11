"""Which entry would run a program, or why none does."""

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from virtsupd.binfmt.distributions import installation
from virtsupd.binfmt.elf import Elf, ElfError, read_open, reopened
from virtsupd.binfmt.entries import Entry
from virtsupd.binfmt.matching import takes
from virtsupd.binfmt.platforms import ByteSet, QemuPlatform
from virtsupd.binfmt.programs import Program, ProgramError, described, look_at
from virtsupd.binfmt.recognition import is_native, nearly, platforms_of
from virtsupd.binfmt.roots import Root
from virtsupd.binfmt.settings import FIXED, Settings

KERNEL: Final = "kernel"
_MOST_INTERPRETERS: Final = 5
"""So often the kernel goes from one program to the next, then it gives up (ELOOP); an entry counts."""
_TOO_DEEP: Final = "one script names the next, more often than the kernel follows"
_QEMU_ROOTS: Final = ("/etc/qemu-binfmt", "/usr/gnemul/qemu-")
"""Where QEMU seeks a program's loader and libraries before the root: Debian's place, and its own."""


@dataclass(frozen=True, slots=True)
class Table:
    """The kernel's table at one moment."""

    is_on: bool
    entries: Sequence[Entry]
    """The one asked first stands first."""


@dataclass(slots=True)
class Explanation:
    """What would happen to a program."""

    file: str
    kind: str
    """What it is."""
    by: str = ""
    """The entry that would run it, or "kernel" if that needs none; "" if nothing does."""
    interpreter: str = ""
    """The program that would run it, if the kernel does not do so itself."""
    flags: str = ""
    """Of the entry."""
    matching: list[tuple[str, bool]] = field(default_factory=list)
    """All entries that it fits, in the kernel's order, and whether each is switched on."""
    problems: list[str] = field(default_factory=list)
    """What keeps it from running, each with the next step."""
    notes: list[str] = field(default_factory=list)
    then: "Explanation | None" = None
    """What would happen to the program that a script names."""

    @property
    def runs(self) -> bool:
        """Whether nothing is known that keeps it from running."""
        is_whole = bool(self.by) and not self.problems
        return is_whole and (self.then is None or self.then.runs)


def explain(
    program: Program, root: Root, table: Table, settings: Settings, depth: int = 0
) -> Explanation:
    """Return what would happen to a program that is executed in a root."""
    found = Explanation(program.path, described(program))
    fitting = [entry for entry in table.entries if takes(entry, program.head, program.path)]
    found.matching = [(entry.name, entry.is_enabled) for entry in fitting]
    found.problems += _closed(program)
    taker = next((entry for entry in fitting if entry.is_enabled and table.is_on), None)
    if taker is not None:
        _taken(found, program, taker, root)
        if depth >= _MOST_INTERPRETERS:
            found.problems.append(_TOO_DEEP)
    elif program.is_script:
        _script(found, program, root, table, settings, depth)
    elif is_native(program.head):
        found.by = KERNEL
        found.problems += _own_faults(program, root)
    else:
        found.problems += _untaken(program, fitting, table, settings)
    return found


def _closed(program: Program) -> Iterator[str]:
    """Yield what keeps any file of this kind from being executed."""
    if not program.mode & 0o111:
        yield f"it is not executable: chmod +x {program.path}"
    if program.is_noexec:
        yield "its file system is mounted noexec: copy it elsewhere, or mount that without noexec"


def _taken(found: Explanation, program: Program, entry: Entry, root: Root) -> None:
    found.by, found.interpreter, found.flags = entry.name, entry.interpreter, entry.flags
    found.problems += _interpreter_faults(entry, root)
    if program.elf_fault:
        found.problems.append(f"as an ELF file it is damaged: {program.elf_fault}")
    if program.elf is not None and program.elf.loader is not None:
        found.problems += _foreign_loader_faults(program.elf, platforms_of(program.head), root)
    if is_native(program.head):
        found.notes.append(
            "the host itself runs such programs, but an entry comes before the kernel's own loader"
        )
    found.notes += _rights(program, entry)


def _interpreter_faults(entry: Entry, root: Root) -> Iterator[str]:
    """Yield why the entry's interpreter would not start in this root."""
    is_fixed = FIXED in entry.flags
    if not is_fixed and not root.has(entry.interpreter):
        where = "" if root.is_own else f" in {root.path}"
        yield (
            f"its interpreter {entry.interpreter} is not there{where}: put it there, or enter it with "
            "flag F, which opens it once for every root"
        )
        return
    loader = _loader_of(entry.interpreter, root, is_fixed=is_fixed)
    if loader and not root.has(loader):
        yield (
            f"its interpreter {entry.interpreter} is linked dynamically and its loader {loader} is not "
            "there: enter a static one"
        )


def _loader_of(interpreter: str, root: Root, *, is_fixed: bool) -> str | None:
    """Return what loads an interpreter; None if it is static, or cannot be looked at."""
    try:
        # With F it is the file of the root in which it was registered: ours.
        found = (
            os.open(interpreter, os.O_PATH | os.O_CLOEXEC) if is_fixed else root.open(interpreter)
        )
        try:
            descriptor = reopened(found)
        finally:
            os.close(found)
        try:
            return read_open(descriptor).loader
        finally:
            os.close(descriptor)
    except (ElfError, OSError):
        return None


def _foreign_loader_faults(
    elf: Elf, platforms: Sequence[QemuPlatform], root: Root
) -> Iterator[str]:
    """Yield why the loader of a foreign program is not to be had: QEMU opens it, in the program's root."""
    loader = elf.loader or ""
    for platform in platforms:
        places = (f"{_QEMU_ROOTS[0]}/{platform.qemu}", f"{_QEMU_ROOTS[1]}{platform.qemu}")
        if any(root.has(f"{place}{loader}") for place in places):
            return
    yield from _loader_faults(
        elf,
        root,
        "run it in a root of its platform (chroot; explain it with --root DIR), or set "
        "QEMU_LD_PREFIX to such a root",
    )


def _loader_faults(elf: Elf, root: Root, step: str) -> Iterator[str]:
    loader = elf.loader or ""
    where = "" if root.is_own else f" in {root.path}"
    if not root.has(loader):
        yield f"its loader {loader} is not there{where}: {step}"
        return
    try:
        found = look_at(loader, root).elf
    except ProgramError:
        return
    if found is not None and (found.bits, found.machine) != (elf.bits, elf.machine):
        yield f"its loader {loader}{where} is for another machine ({found.text}): {step}"


def _own_faults(program: Program, root: Root) -> Iterator[str]:
    """Yield why the kernel would not run a program of its own kind."""
    if program.elf_fault:
        yield f"as an ELF file it is damaged: {program.elf_fault}"
    elif program.elf is not None and not program.elf.is_program:
        yield f"it is {program.elf.type_name}: nothing runs that"
    elif program.elf is not None and program.elf.loader is not None:
        yield from _loader_faults(
            program.elf, root, "install it there, or link the program statically"
        )


def _rights(program: Program, entry: Entry) -> Iterator[str]:
    """Yield what becomes of the program's own rights."""
    is_set = program.mode & stat.S_ISUID or (
        program.mode & stat.S_ISGID and program.mode & stat.S_IXGRP
    )
    if is_set and "C" not in entry.flags:
        yield (
            "its set-ID bits have no effect: it runs as whoever calls it, since the entry has no flag C"
        )
    elif is_set and program.is_nosuid:
        yield "its set-ID bits have no effect: its file system is mounted nosuid"
    elif is_set:
        whose = f"its owner, user {program.uid}" if program.mode & stat.S_ISUID else "its group"
        yield f"it runs as {whose}, since the entry has flag C"
    if not program.mode & stat.S_IROTH and "O" not in entry.flags:
        yield "who may not read it cannot run it: the interpreter opens it, since the entry has no flag O"


def _script(
    found: Explanation,
    program: Program,
    root: Root,
    table: Table,
    settings: Settings,
    depth: int,
) -> None:
    """Follow a script to the program that it names."""
    name = program.interpreter
    if not name:
        found.problems.append("its first line names no program within the 256 bytes that count")
        return
    found.by, found.interpreter = KERNEL, name
    if not name.startswith("/"):
        found.notes.append(f"{name} is sought from the directory in which it is called")
    elif depth >= _MOST_INTERPRETERS:
        found.problems.append(_TOO_DEEP)
    else:
        try:
            found.then = explain(look_at(name, root), root, table, settings, depth + 1)
        except ProgramError as error:
            found.problems.append(f"the program that it names cannot be had: {error}")


def _untaken(
    program: Program, fitting: Sequence[Entry], table: Table, settings: Settings
) -> Iterator[str]:
    """Yield why no entry takes it, and what to do."""
    ready = [entry.name for entry in fitting if entry.is_enabled]
    if ready:
        yield (
            f"binfmt_misc is switched off as a whole, or {ready[0]} would take it: "
            f"echo 1 >{settings.directory}/status"
        )
        return
    if fitting:
        names = ", ".join(entry.name for entry in fitting)
        yield f"switched off is what would take it: {names}"
    if program.elf is None:
        fault = f"it is damaged: {program.elf_fault}" if program.elf_fault else "no entry fits it"
        yield f"{fault}; a shell may still try it as a script, the kernel does not"
    elif not program.elf.is_program:
        yield f"it is {program.elf.type_name}: nothing runs that"
    else:
        yield _missing(program.head, program.elf, settings, {entry.name for entry in fitting})


def _missing(head: bytes, elf: Elf, settings: Settings, off: Collection[str]) -> str:
    """Return which platform is missing for a program; `off` are the entries that are switched off."""
    if platforms := platforms_of(head, settings.bytes):
        if platforms[0].entry in off:
            return f"switch it on: echo 1 >{settings.directory}/{platforms[0].entry}"
        return _platform_step(platforms[0], settings)
    other: ByteSet = "guix" if settings.bytes == "debian" else "debian"
    if platforms := platforms_of(head, other):
        return f'no entry fits it, but with bytes = "{other}" it is one of {platforms[0].name}'
    if (near := nearly(head, settings.bytes)) is not None:
        platform, why = near
        return f"no entry fits it, and none would: it is not taken for {platform.name}, as {why}"
    return f"QEMU has no platform for its machine: {elf.text}"


def _platform_step(platform: QemuPlatform, settings: Settings) -> str:
    name = platform.name
    if platform in settings.known:
        return (
            f"{name} is among the platforms of [qemu_binfmt], but its entry is not there: "
            f"virtsupctl start qemu-binfmt, or virtsupctl register qemu-binfmt {name}"
        )
    return (
        f'no entry fits it: add "{name}" to platforms of [qemu_binfmt]; its emulator is '
        f"qemu-{platform.qemu} ({installation(platform)})"
    )
