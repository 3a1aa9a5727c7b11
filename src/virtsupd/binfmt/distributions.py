"""Which package of this distribution has QEMU's user-mode emulators."""

from pathlib import Path
from typing import Final

from virtsupd.binfmt.platforms import QemuPlatform

_RELEASE_FILES: Final = ("/etc/os-release", "/usr/lib/os-release")
_UNKNOWN: Final = (
    "install QEMU's user-mode emulators, linked statically (qemu-user-static in most distributions)"
)
# From these releases on, qemu-user is the one that is static (README.Debian of qemu-user 9.0.2).
_STATIC_QEMU_USER: Final = {"debian": 13, "ubuntu": 25}
# Fedora has one package for all platforms of a name's beginning; "" is a platform of its own.
_FEDORA_GROUPS: Final = {
    "i386": "x86",
    "i486": "x86",
    "x86_64": "x86",
    "aarch64be": "aarch64",
    "armeb": "arm",
}
_FEDORA_STARTS: Final = ("microblaze", "mips", "ppc", "riscv", "sh4", "sparc", "xtensa")


def installation(platform: QemuPlatform, release: str | None = None) -> str:
    """Return how to install a static QEMU for a platform: "install qemu-user-static: apt-get …".

    `release` is the text of an os-release file; None reads the system's own (os-release(5)).
    """
    said = _said(_own_release() if release is None else release)
    kinds = [said.get("ID", ""), *said.get("ID_LIKE", "").split()]
    return next((advice for kind in kinds if (advice := _advice(kind, said, platform))), _UNKNOWN)


def _advice(kind: str, said: dict[str, str], platform: QemuPlatform) -> str:
    """Return the advice for one distribution; "" for one that is not known."""
    if kind in _STATIC_QEMU_USER:
        package = _debian_package(kind, said)
        return f"install {package}: apt-get install {package}"
    if kind.split("-", maxsplit=1)[0] in {"opensuse", "suse", "sles"}:
        return "install qemu-linux-user: zypper install qemu-linux-user"
    packages = {
        "alpine": (f"qemu-{platform.qemu}", "apk add"),
        "fedora": (f"qemu-user-static-{_fedora_group(platform.name)}", "dnf install"),
        "arch": ("qemu-user-static", "pacman -S"),
        "void": ("qemu-user-static", "xbps-install"),
    }
    if kind in packages:
        package, command = packages[kind]
        return f"install {package}: {command} {package}"
    return {
        "gentoo": f'build app-emulation/qemu with USE="static-user" and '
        f'QEMU_USER_TARGETS="{platform.qemu}"',
        "guix": 'add the output "static" of the package qemu to the system, or set qemu to its prefix',
        "nixos": "set qemu to the prefix of pkgsStatic.qemu-user",
    }.get(kind, "")


def _debian_package(kind: str, said: dict[str, str]) -> str:
    release = said.get("VERSION_ID", "").split(".")[0]
    if said.get("ID") != kind:  # whose numbers are its own
        return "qemu-user-static"
    is_old = release.isdigit() and int(release) < _STATIC_QEMU_USER[kind]
    return "qemu-user-static" if is_old else "qemu-user"


def _fedora_group(name: str) -> str:
    starts = (start for start in _FEDORA_STARTS if name.startswith(start))
    return _FEDORA_GROUPS.get(name) or next(starts, name)


def _own_release() -> str:
    for path in map(Path, _RELEASE_FILES):
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
    return ""


def _said(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs if value}
