"""What the kernel looks at when a file is to be executed."""

import errno
import os
from dataclasses import dataclass
from typing import Final

from virtsupd.binfmt.elf import MAGIC, Elf, ElfError, parsed_head, read_open, reopened
from virtsupd.binfmt.matching import HEAD_BYTES
from virtsupd.binfmt.roots import Root
from virtsupd.errors import VirtsupdError

_SCRIPT: Final = b"#!"
_BLANKS: Final = b" \t"


class ProgramError(VirtsupdError):
    """A file cannot be looked at; the message says why, and what to do."""

    code = "no-program"


@dataclass(frozen=True, slots=True)
class Program:
    """A regular file, as it was found."""

    path: str
    """As whoever executes it would say."""
    head: bytes
    """Its first 256 bytes, or all it has."""
    mode: int
    uid: int
    """Its owner."""
    is_noexec: bool
    """Whether nothing of its file system may be executed."""
    is_nosuid: bool
    """Whether set-user-ID bits have no effect there."""
    elf: Elf | None = None
    elf_fault: str = ""
    """What is wrong with it, if it is an ELF file that no kernel runs."""

    @property
    def is_script(self) -> bool:
        """Whether it begins as a script does."""
        return self.head.startswith(_SCRIPT)

    @property
    def is_elf(self) -> bool:
        """Whether it begins as an ELF file does."""
        return self.head.startswith(MAGIC)

    @property
    def interpreter(self) -> str:
        """The program that a script names; "" if it names none that the kernel would take."""
        line, end, _ = self.head[len(_SCRIPT) :].partition(b"\n")
        line = line.split(b"\0", 1)[0].lstrip(_BLANKS)
        words = line.replace(b"\t", b" ").split(b" ", 1)
        is_cut = not end and len(self.head) >= HEAD_BYTES and len(words) == 1
        return "" if is_cut or not self.is_script else os.fsdecode(words[0])


def look_at(path: str, root: Root) -> Program:
    """Return what there is at a path of a root. Never waits, and opens regular files only.

    Raises:
        ProgramError: it is no regular file, or cannot be read.
    """
    try:
        found = root.open(path)
        try:
            return _looked_at(path, found)
        finally:
            os.close(found)
    except ElfError as error:
        raise ProgramError(f"{path}: {error}") from error
    except OSError as error:
        raise ProgramError(f"{path}: {_reason(error, root)}") from error


def _looked_at(path: str, found: int) -> Program:
    status, system = os.fstat(found), os.fstatvfs(found)
    descriptor = reopened(found)
    try:
        head, elf, fault = os.pread(descriptor, HEAD_BYTES, 0), None, ""
        if head.startswith(MAGIC):
            try:
                elf = parsed_head(head)
                elf = read_open(descriptor)
            except ElfError as error:
                fault = str(error)
    finally:
        os.close(descriptor)
    return Program(
        path=path,
        head=head,
        mode=status.st_mode,
        uid=status.st_uid,
        is_noexec=bool(system.f_flag & os.ST_NOEXEC),
        is_nosuid=bool(system.f_flag & os.ST_NOSUID),
        elf=elf,
        elf_fault=fault,
    )


def described(program: Program) -> str:
    """Return in words what a file is."""
    if program.elf is not None:
        loader = f", loaded by {program.elf.loader}" if program.elf.loader else ""
        return f"ELF, {program.elf.text}, {program.elf.type_name}{loader}"
    if program.is_elf:
        return "a damaged ELF file"
    if program.is_script:
        return (
            f"a script for {program.interpreter or 'a program that its first line does not name'}"
        )
    return "neither an ELF file nor a script with #!" if program.head else "an empty file"


def _reason(error: OSError, root: Root) -> str:
    """Return why a file cannot be looked at, and what to do."""
    if error.errno == errno.ENOENT and not root.is_own:
        return f"no such file in the root {root.path}; FILE is its path within that root"
    if error.errno == errno.ENOSYS:
        return "this kernel cannot look into another root (that takes Linux 5.6)"
    return (error.strerror or str(error)).lower()
