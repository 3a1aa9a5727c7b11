"""Which package has QEMU's emulators, by what a system says of itself."""

import pytest

from virtsupd.binfmt.distributions import installation
from virtsupd.binfmt.platforms import lookup_qemu_platforms


def advice(name: str, *lines: str) -> str:
    [platform] = lookup_qemu_platforms(name)
    return installation(platform, "\n".join(lines))


@pytest.mark.parametrize(
    ("release", "package"),
    [
        (("ID=debian", 'VERSION_ID="12"'), "apt-get install qemu-user-static"),
        (("ID=debian", 'VERSION_ID="13"'), "apt-get install qemu-user"),
        (("ID=debian",), "apt-get install qemu-user"),
        (("ID=ubuntu", 'VERSION_ID="24.04"'), "apt-get install qemu-user-static"),
        (("ID=ubuntu", 'VERSION_ID="25.10"'), "apt-get install qemu-user"),
        (
            ("ID=linuxmint", "VERSION_ID=22", 'ID_LIKE="ubuntu debian"'),
            "apt-get install qemu-user-static",
        ),
        (("ID=alpine",), "apk add qemu-ppc64le"),
        (("ID=fedora",), "dnf install qemu-user-static-ppc"),
        (("ID=arch",), "pacman -S qemu-user-static"),
        (("ID=void",), "xbps-install qemu-user-static"),
        (
            ('ID="opensuse-tumbleweed"', 'ID_LIKE="opensuse suse"'),
            "zypper install qemu-linux-user",
        ),
        (("ID=gentoo",), 'QEMU_USER_TARGETS="ppc64le"'),
        (("ID=guix",), 'the output "static" of the package qemu to the system, or set qemu '),
        (("ID=nixos",), "pkgsStatic.qemu-user"),
        (("ID=other", "NAME", ""), "qemu-user-static in most distributions"),
        (("",), "qemu-user-static in most distributions"),
    ],
)
def test_each_distribution_has_its_package(release: tuple[str, ...], package: str) -> None:
    said = advice("ppc64le", *release)
    assert package in said
    assert said.endswith(package) or "apt-get" not in package


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("aarch64", "aarch64"),
        ("aarch64be", "aarch64"),
        ("armeb", "arm"),
        ("i486", "x86"),
        ("x86_64", "x86"),
        ("mipsn32el", "mips"),
        ("riscv64", "riscv"),
        ("s390x", "s390x"),
        ("xtensaeb", "xtensa"),
    ],
)
def test_fedora_has_one_package_for_related_platforms(name: str, package: str) -> None:
    assert advice(name, "ID=fedora").endswith(f"dnf install qemu-user-static-{package}")


def test_alpine_calls_them_as_qemu_does() -> None:
    assert advice("aarch64be", "ID=alpine").endswith("apk add qemu-aarch64_be")


def test_this_system_is_asked_where_no_other_is_given() -> None:
    [platform] = lookup_qemu_platforms("arm")
    assert "qemu" in installation(platform)
