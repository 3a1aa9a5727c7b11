"""Real programs of other platforms, compiled for a test, and roots in which dynamic ones can run."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtsupd.binfmt.elf import read_open

SOURCE: Final = Path(__file__).resolve().parents[1] / "children/foreign.c"
ENDS_WITH: Final = 7
"""How the program ends."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a platform is to a compiler, and to a program that runs on it."""

    triplet: str
    machine: str
    """As uname(2) tells a program that QEMU runs."""


TARGETS: Final = {
    "arm": Target("arm-linux-gnueabihf", "armv7l"),
    "aarch64": Target("aarch64-linux-gnu", "aarch64"),
    "ppc64le": Target("powerpc64le-linux-gnu", "ppc64le"),
    "riscv64": Target("riscv64-linux-gnu", "riscv64"),
    "s390x": Target("s390x-linux-gnu", "s390x"),
}
"""By the platform's name."""


def built(directory: Path, platform: str, *, is_static: bool = True) -> Path:
    """Compile tests/children/foreign.c, or take what was compiled into the directory before."""
    program = directory / f"{platform}-{'static' if is_static else 'dynamic'}"
    if not program.exists():
        compiler = f"{TARGETS[platform].triplet}-gcc"
        assert shutil.which(compiler), f"{compiler} is missing: scripts/setup test"
        options = ["-static"] if is_static else []
        subprocess.run([compiler, *options, "-o", str(program), str(SOURCE)], check=True)
    return program


def root(directory: Path, platform: str) -> Path:
    """Return a root with nothing but /foreign of this platform, linked dynamically, and its libraries."""
    made = directory / f"{platform}-root"
    if made.exists():
        return made
    program = built(directory, platform, is_static=False)
    loader = Path(loader_of(program))
    libraries = Path("/usr") / TARGETS[platform].triplet / "lib"
    home = made / loader.parent.relative_to("/")
    home.mkdir(parents=True)
    shutil.copy2(libraries / loader.name, home)
    (made / "lib").mkdir(exist_ok=True)
    shutil.copy2(libraries / "libc.so.6", made / "lib")
    shutil.copy2(program, made / "foreign")
    return made


def loader_of(program: Path) -> str:
    """Return the path of the loader that a dynamic program needs."""
    with program.open("rb") as file:
        loader = read_open(file.fileno()).loader
    assert loader is not None
    return loader


def copied(program: Path, target: Path, mode: int = 0o755) -> Path:
    """Copy a program, with another mode."""
    shutil.copy(program, target)
    target.chmod(mode)
    return target


def marked_for_gnu(program: Path, target: Path) -> Path:
    """Copy a program, marked as one that uses extensions of GNU."""
    content = bytearray(program.read_bytes())
    content[7] = 3  # EI_OSABI: ELFOSABI_GNU
    target.write_bytes(content)
    target.chmod(0o755)
    return target
