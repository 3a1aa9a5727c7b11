"""A file of settings and a directory that stands for the kernel's table."""

from pathlib import Path

from virtsupd.binfmt.entries import Registration
from virtsupd.binfmt.platforms import lookup_qemu_platforms
from virtsupd.binfmt.settings import DIRECTORY, Settings


def settings_file(directory: Path, *platforms: str, table: str = DIRECTORY) -> str:
    """Write a file of settings and return its path."""
    settings = Settings(platforms, record=str(directory / "record.json"), directory=table)
    path = directory / "qemu-binfmt.conf"
    path.write_text(settings.text)
    return str(path)


def plain_table(directory: Path, *platforms: str, is_on: bool = True) -> str:
    """Make a directory with an entry for each platform, as the kernel would show it; return its path."""
    directory.mkdir()
    (directory / "status").write_text("enabled\n" if is_on else "disabled\n")
    (directory / "register").write_text("")
    for platform in lookup_qemu_platforms(*platforms):
        lines = (
            "enabled",
            f"interpreter /usr/bin/qemu-{platform.qemu}-static",
            "flags: PF",
            "offset 0",
            f"magic {platform.magic.hex()}",
            f"mask {platform.mask.hex()}",
        )
        (directory / platform.entry).write_text("\n".join(lines) + "\n")
    return str(directory)


def registration(name: str, *, interpreter: str | None = None, flags: str = "FP") -> Registration:
    """Return what enters a platform with the emulator of Debian 12."""
    [platform] = lookup_qemu_platforms(name)
    path = interpreter or f"/usr/bin/qemu-{platform.qemu}-static"
    return Registration(platform.entry, platform.magic, platform.mask, path, flags)
