"""What is said of an entry that is in our way."""

from dataclasses import replace
from pathlib import Path

import pytest

from virtsupd.binfmt.entries import Entry
from virtsupd.binfmt.foreign import lost, whose

EMULATOR = "/usr/libexec/qemu-binfmt/arm-binfmt-P"
TABLE = Path("/proc/sys/fs/binfmt_misc")
ARM = Entry("qemu-arm", (1, 2), is_enabled=True, interpreter=EMULATOR, flags="POF")
REMOVAL = f"echo -1 >{TABLE}/qemu-arm"


def put(root: Path, file: str, content: str) -> None:
    path = root / file.removeprefix("/")
    path.parent.mkdir(parents=True)
    path.write_text(content)


def test_an_entry_that_no_file_describes_is_named_with_how_to_remove_it(tmp_path: Path) -> None:
    text = whose(ARM, TABLE, tmp_path)
    assert f"qemu-arm is registered by somebody else (interpreter {EMULATOR}, flags POF)" in text
    assert text.endswith(f"; {REMOVAL} removes it, or take it out of platforms")


@pytest.mark.parametrize(
    ("file", "way"),
    [
        (
            "/usr/lib/binfmt.d/qemu-arm.conf",
            f"ln -s /dev/null /etc/binfmt.d/qemu-arm.conf and {REMOVAL} remove it",
        ),
        ("/etc/binfmt.d/mine.conf", f"rm /etc/binfmt.d/mine.conf and {REMOVAL} remove it"),
    ],
)
def test_what_a_file_for_systemd_enters_would_come_back_unless_that_is_gone(
    tmp_path: Path, file: str, way: str
) -> None:
    put(tmp_path, file, rf":qemu-arm:M::\x7f:\xff:{EMULATOR}:POF")
    text = whose(ARM, TABLE, tmp_path)
    assert f"by somebody else as {file} has it (" in text
    assert way in text


def test_what_binfmt_support_entered_it_takes_away(tmp_path: Path) -> None:
    lines = ("qemu-user-static", "magic", "0", r"\x7f", r"\xff", EMULATOR, "", "", "")
    put(tmp_path, "/var/lib/binfmts/qemu-arm", "\n".join(lines))
    assert "; update-binfmts --disable qemu-arm removes it" in whose(ARM, TABLE, tmp_path)


@pytest.mark.parametrize(
    ("has", "wanted", "said"),
    [
        ("POF", "FP", ""),
        ("OC", "", ""),
        ("P", "FP", "without F only in containers and chroots that have its interpreter"),
        ("F", "FP", "without P with another argv[0]"),
        (
            "F",
            "FPC",
            "without P with another argv[0], without C with set-user-ID bits to no effect",
        ),
    ],
)
def test_what_is_lost_without_the_flags_that_are_wanted_is_said(
    has: str, wanted: str, said: str
) -> None:
    assert lost(replace(ARM, flags=has), wanted) == said
