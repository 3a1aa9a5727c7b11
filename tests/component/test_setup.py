"""scripts/setup and its callers where something is missing: they say what, and how to go on."""

import subprocess

import pytest
from tests.support.namespaces import CHECKOUT

pytestmark = [pytest.mark.component, pytest.mark.timeout(60)]

# In a mount namespace of its own: no package is installed, and neither is libvirtd.
WITHOUT_LIBVIRT = """
mount --bind /dev/null /usr/sbin/libvirtd
mount --bind /dev/null /var/lib/dpkg/status
"""
WITHOUT_APT = WITHOUT_LIBVIRT + 'mount --bind /dev/null "$(command -v apt-get)"\n'
WITHOUT_FOREIGN_COMPILER = """
mount --bind /dev/null /usr/bin/s390x-linux-gnu-gcc
mount --bind /dev/null /var/lib/dpkg/status
mount --bind /dev/null "$(command -v apt-get)"
"""
WITHOUT_FOREIGN_LIBRARY = WITHOUT_FOREIGN_COMPILER.replace(
    "/usr/bin/s390x-linux-gnu-gcc", "/usr/s390x-linux-gnu", 1
).replace("mount --bind /dev/null", "mount -t tmpfs none", 1)
# Somebody else may not be allowed to read the checkout.
COPIED = "mount -t tmpfs -o mode=755 private /mnt\ncp -r scripts /mnt/scripts\ncd /mnt\n"
AS_NOBODY = COPIED + "exec setpriv --reuid 65534 --regid 65534 --clear-groups "


def output_of(lines: str) -> str:
    """Run lines of shell in a mount namespace; they have to fail, and what they print is returned."""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", lines],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("script", ["run", "test"])
def test_without_root_it_says_how_to_become_root(script: str) -> None:
    said = output_of(f"{AS_NOBODY} scripts/{script}")
    assert "needs root" in said
    assert f"sudo /mnt/scripts/{script}" in said


def test_without_packages_and_root_it_names_the_packages() -> None:
    said = output_of(f"{WITHOUT_LIBVIRT}{AS_NOBODY} scripts/setup run")
    assert "missing Debian packages: libvirt-daemon-system " in said
    assert "sudo apt-get install --no-install-recommends libvirt-daemon-system " in said


def test_without_packages_and_apt_it_names_the_packages() -> None:
    said = output_of(f"{WITHOUT_APT}exec scripts/setup run")
    assert "there is no apt-get here: libvirt-daemon-system " in said
    assert "run the same command again" in said


@pytest.mark.parametrize(
    "without", [WITHOUT_FOREIGN_COMPILER, WITHOUT_FOREIGN_LIBRARY], ids=["compiler", "library"]
)
def test_one_foreign_platform_that_cannot_be_compiled_for_is_enough_to_name_them_all(
    without: str,
) -> None:
    said = output_of(f"{without}exec scripts/setup test")
    assert "gcc-s390x-linux-gnu" in said
    assert "libc6-dev-s390x-cross" in said
