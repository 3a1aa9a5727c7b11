"""What the scripts that make guests of Debian packages have in common."""

import hashlib
import os
import re
import stat
import struct
import subprocess
import sys
from pathlib import Path

DOWNLOAD = ("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download")
GRUB_PACKAGES = ("grub-pc-bin", "grub-common")
_GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "normal", "linux", "multiboot", "gzio", "serial", "terminal",
    "configfile")  # fmt: skip
_START_SECTOR = 2048
_SECTOR_BYTES = 512
_BOOT_CODE_BYTES = 440
_PARTITIONS_AT = 446


class Archive:
    """A cpio archive in the "newc" format that the kernel unpacks; everything belongs to root."""

    def __init__(self) -> None:
        self._parts = bytearray()
        self._count = 0

    def add(self, name: str, mode: int, content: bytes = b"") -> None:
        self._count += 1
        encoded = name.encode() + b"\0"
        fields = (self._count, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        self._append(b"070701" + b"".join(b"%08X" % field for field in fields) + encoded)
        self._append(content)

    def directory(self, name: str) -> None:
        self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        self.add(name, stat.S_IFREG | mode, content)

    def link(self, name: str, target: str) -> None:
        self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def finish(self) -> bytes:
        self.add("TRAILER!!!", 0)
        return bytes(self._parts)

    def _append(self, block: bytes) -> None:
        self._parts += block + bytes(-len(block) % 4)


def run(
    *command: str, directory: Path | None = None, environment: dict[str, str] | None = None
) -> str:
    """Return what a command prints; if it fails, end with what it printed."""
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(
            f"{Path(sys.argv[0]).name}: {' '.join(command)} failed:\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def replace(path: Path, content: bytes) -> None:
    """Put a file in its place as a whole."""
    draft = path.with_name(path.name + ".new")
    draft.write_bytes(content)
    draft.chmod(0o644)
    draft.rename(path)


def version_of(script: Path) -> str:
    """Return what tells the output of this version of a script from that of others."""
    parts = (script, Path(__file__))
    return hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()


def is_made(directory: Path, version: str) -> bool:
    """Whether the directory, which is made, holds what this version leaves."""
    directory.mkdir(parents=True, exist_ok=True)
    stamp = directory / "made-by"
    return stamp.exists() and stamp.read_text() == version


def note_made(directory: Path, version: str) -> None:
    """Have `is_made` know it."""
    replace(directory / "made-by", version.encode())


def foreign_apt(directory: Path, architecture: str) -> dict[str, str]:
    """Return the environment of an apt that knows packages of another architecture, with its lists read."""
    for name in ("state/lists/partial", "cache/archives/partial", "etc"):
        (directory / name).mkdir(parents=True)
    (directory / "state/status").write_text("")
    sources = run(
        "apt-config", "shell", "PARTS", "Dir::Etc::sourceparts/d", "LIST", "Dir::Etc::sourcelist/f"
    )
    found = dict(re.findall(r"(\w+)='(.*)'", sources))
    settings = f"""
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "root";
Dir::Etc::sourceparts "{found.get("PARTS", "")}";
Dir::Etc::sourcelist "{found.get("LIST", "")}";
Dir::State "{directory}/state";
Dir::State::status "{directory}/state/status";
Dir::Cache "{directory}/cache";
"""
    config = directory / "apt.conf"
    config.write_text(settings)
    environment = os.environ | {"APT_CONFIG": str(config)}
    # A mirror that is being renewed may lack an index, of which nothing is needed.
    run("sh", "-c", "apt-get -qq update || true", environment=environment)
    return environment


def bootable_disk(root: Path, packages: Path, scratch: Path, *, menu: str, mib: int) -> bytes:
    """Return a disk with GRUB between its first sector and its one partition, which holds a directory.

    `packages` is where GRUB's packages are unpacked; `menu` becomes its configuration.
    """
    (root / "boot/grub").mkdir(parents=True, exist_ok=True)
    (root / "boot/grub/grub.cfg").write_text(menu)
    partition, core = scratch / "partition", scratch / "core"
    run("truncate", "-s", f"{mib - 1}M", str(partition))
    run("mke2fs", "-q", "-t", "ext2", "-d", str(root), str(partition))
    grub = packages / "usr/lib/grub/i386-pc"
    run(str(packages / "usr/bin/grub-mkimage"), "-d", str(grub), "-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub",
        "-o", str(core), *_GRUB_MODULES)  # fmt: skip
    image = bytearray(mib << 20)
    # Bootable, Linux, counted in sectors: where it is in cylinders and heads nobody asks.
    sectors = (mib << 20) // _SECTOR_BYTES - _START_SECTOR
    entry = struct.pack(
        "<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", _START_SECTOR, sectors
    )
    for at, content in (
        (0, (grub / "boot.img").read_bytes()[:_BOOT_CODE_BYTES]),
        (_PARTITIONS_AT, entry),
        (_SECTOR_BYTES - 2, b"\x55\xaa"),
        (_SECTOR_BYTES, core.read_bytes()),
        (_START_SECTOR * _SECTOR_BYTES, partition.read_bytes()),
    ):
        image[at : at + len(content)] = content
    return bytes(image)
