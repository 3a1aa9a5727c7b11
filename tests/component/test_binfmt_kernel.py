"""What the kernel answers to registrations, and what we make of its answers."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.binfmt import DIRECTORY, Kernel, private_kernel
from tests.support.binfmt_settings import registration
from tests.support.holding import Host

from virtsupd.binfmt.entries import Registration
from virtsupd.binfmt.platforms import NAMES, lookup_qemu_platforms

pytestmark = pytest.mark.component

ARM = registration("arm")
REGISTER = """
import sys
from pathlib import Path
from virtsupd.binfmt.entries import BinfmtError, Instance, Registration
name, magic, mask, interpreter, flags = sys.argv[1:]
wanted = Registration(name, bytes.fromhex(magic), bytes.fromhex(mask), interpreter, flags)
try:
    Instance(Path("/proc/sys/fs/binfmt_misc")).register(wanted)
except BinfmtError as error:
    print(type(error).__name__, error)
else:
    print("registered")
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """Give the tests of this file one table."""
    with private_kernel() as kernel:
        yield kernel


def answer(kernel: Kernel, wanted: Registration) -> str:
    """Return what becomes of a registration; nothing of it stays."""
    parts = (wanted.name, wanted.magic.hex(), wanted.mask.hex(), wanted.interpreter, wanted.flags)
    said = kernel.python("-I", "-c", REGISTER, *parts).stdout.strip()
    if said == "registered" and wanted.name != "kept":
        kernel.run("sh", "-c", f"echo -1 >{DIRECTORY}/{wanted.name}")
    return said


def test_a_name_can_be_taken_once(kernel: Kernel) -> None:
    assert answer(kernel, replace(ARM, name="kept")) == "registered"
    said = answer(kernel, replace(ARM, name="kept", interpreter="/bin/true"))
    assert said == "EntryExistsError kept: an entry of that name is there"
    text = kernel.run("cat", f"{DIRECTORY}/kept").stdout
    assert "interpreter /usr/bin/qemu-arm-static\n" in text


@pytest.mark.parametrize("name", ["status", "register"])
def test_the_names_of_the_two_files_are_taken(kernel: Kernel, name: str) -> None:
    assert answer(kernel, replace(ARM, name=name)).startswith("EntryExistsError")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"interpreter": "/absent"}, "qemu-arm: /absent is not there"),
        ({"interpreter": "/absent", "flags": "P"}, "registered"),
        ({"mask": ARM.mask[:-1]}, "does not understand the registration"),
        ({"magic": b"", "mask": b""}, "does not understand the registration"),
        ({"flags": "X"}, "does not understand the registration"),
        ({"name": ""}, "does not understand the registration"),
        ({"name": "a/b"}, "does not understand the registration"),
        ({"name": ".."}, "does not understand the registration"),
        ({"name": "x" * 255}, "registered"),
        ({"name": "x" * 256}, "file name too long"),
        ({"interpreter": "/" + "x" * 1900, "flags": ""}, "longer than the 1920 bytes"),
        ({"interpreter": "/a:b", "flags": ""}, "does not understand the registration"),
        ({"flags": "FPOC"}, "registered"),
        ({"flags": ""}, "registered"),
    ],
)
def test_each_refusal_is_told_in_words(
    kernel: Kernel, changes: dict[str, str | bytes], said: str
) -> None:
    wanted = replace(ARM, **changes)  # type: ignore[arg-type]
    assert said in answer(kernel, wanted)


def test_every_platform_with_an_emulator_of_debian_is_registered_and_runs(tmp_path: Path) -> None:
    named = {name for name in NAMES if Path(f"/usr/bin/qemu-{emulator(name)}-static").exists()}
    assert len(named) >= 33
    # The host's own would take the programs that do the rest of the test.
    foreign = tuple(sorted(named - {"i386", "i486", "x86_64"}))
    with private_kernel() as kernel:
        host = Host(kernel, tmp_path)
        settings = host.settings(*foreign)
        with host.holding(settings) as held:
            held.until("READY=1")
            verify = ("-I", "-m", "virtsupd.services.binfmt_verify", str(settings))
            done = kernel.python(*verify)
            assert held.end() == 0
        assert host.entries() == set()
    assert done.stdout.count(" ok ") == len(foreign)


def emulator(name: str) -> str:
    [platform] = lookup_qemu_platforms(name)
    return platform.qemu
