"""What the kernel says of entries, from files as it shows them."""

from pathlib import Path

import pytest

from virtsupd.binfmt.entries import BinfmtError, Entry, Instance, Registration

ARM = Registration("qemu-arm", b"\x7fELF\x01", b"\xff\xff\xff\xff\xfe", "/usr/bin/qemu-arm", "FP")
TEXT = """enabled
interpreter /usr/bin/qemu-arm
flags: PF
offset 0
magic 7f454c4601
mask fffffffffe
"""


def instance(tmp_path: Path, **files: str) -> Instance:
    for name, text in {"register": "", "status": "enabled\n", **files}.items():
        (tmp_path / name.replace("_", "-")).write_text(text)
    return Instance(tmp_path)


def entry(tmp_path: Path, text: str) -> Entry:
    found = instance(tmp_path, qemu_arm=text).entry("qemu-arm")
    assert found is not None
    return found


def test_a_line_has_every_byte_as_an_escape_so_that_none_is_its_delimiter() -> None:
    assert ARM.line == (
        rb":qemu-arm:M::\x7f\x45\x4c\x46\x01:\xff\xff\xff\xff\xfe:/usr/bin/qemu-arm:FP"
    )


def test_an_entry_is_read_as_the_kernel_shows_it(tmp_path: Path) -> None:
    found = entry(tmp_path, TEXT)
    assert found.is_enabled
    assert found.is_as(ARM)
    status = (tmp_path / "qemu-arm").stat()
    assert found.identity == (status.st_dev, status.st_ino)


def test_an_entry_that_is_switched_off_is_the_same_entry(tmp_path: Path) -> None:
    found = entry(tmp_path, TEXT.replace("enabled", "disabled"))
    assert not found.is_enabled
    assert found.is_as(ARM)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bin/qemu-arm", "bin/other"),
        ("flags: PF", "flags: POF"),
        ("offset 0", "offset 1"),
        ("magic 7f45", "magic 7f46"),
        ("mask ff", "mask fe"),
    ],
)
def test_whatever_differs_makes_it_another_entry(tmp_path: Path, old: str, new: str) -> None:
    assert not entry(tmp_path, TEXT.replace(old, new)).is_as(ARM)


def test_credentials_bring_an_open_file_along(tmp_path: Path) -> None:
    found = entry(tmp_path, TEXT.replace("PF", "POCF"))
    assert found.is_as(Registration(ARM.name, ARM.magic, ARM.mask, ARM.interpreter, "FPC"))


def test_without_a_mask_all_bits_count(tmp_path: Path) -> None:
    found = entry(tmp_path, TEXT.replace("mask fffffffffe\n", ""))
    assert found.mask == b"\xff" * 5


def test_an_entry_by_the_end_of_names_has_no_magic(tmp_path: Path) -> None:
    found = entry(tmp_path, "enabled\ninterpreter /usr/bin/java\nflags: \nextension .jar\n")
    assert (found.extension, found.magic, found.flags) == ("jar", b"", "")


@pytest.mark.parametrize(
    ("old", "new", "unknown"),
    [
        ("magic 7f454c4601", "magic zz", "magic zz"),
        ("offset 0", "offset -1", "offset -1"),
        ("offset 0", "offset " + "9" * 5000, "offset 999"),
        ("mask fffffffffe", "mask f", "mask f"),
        ("mask fffffffffe", "mask ff", "mask of 1 bytes"),
        ("enabled", "resting", "state resting"),
        ("interpreter /usr/bin/qemu-arm\n", "", "no interpreter"),
        ("interpreter /usr/bin/qemu-arm\n", "interpreter /usr/bin/qemu-arm\nflags: PF\n", "flags:"),
    ],
)
def test_what_is_not_understood_makes_it_no_entry_of_ours(
    tmp_path: Path, old: str, new: str, unknown: str
) -> None:
    found = entry(tmp_path, TEXT.replace(old, new))
    assert unknown in found.unknown
    assert not found.is_as(ARM)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"enabled", b"\n\n"])
def test_whatever_a_file_holds_it_is_an_entry(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "qemu-arm").write_bytes(content)
    found = Instance(tmp_path).entry("qemu-arm")
    assert found is not None
    assert found.unknown
    assert not found.is_as(ARM)


def test_a_line_that_only_other_kernels_write_changes_nothing(tmp_path: Path) -> None:
    found = entry(tmp_path, TEXT + "owner 0\n")
    assert found.is_as(ARM)


def test_the_files_that_are_no_entries_are_not_shown(tmp_path: Path) -> None:
    found = instance(tmp_path, qemu_arm=TEXT, python=TEXT)
    assert {entry.name for entry in found.entries()} == {"qemu-arm", "python"}
    assert found.is_on()
    assert found.entry("absent") is None


def test_only_the_entry_that_was_looked_at_is_changed(tmp_path: Path) -> None:
    table = instance(tmp_path, qemu_arm=TEXT)
    found = entry(tmp_path, TEXT)
    (tmp_path / "status").replace(tmp_path / "qemu-arm")
    table.remove(found)
    assert (tmp_path / "qemu-arm").read_text() == "enabled\n"
    (tmp_path / "qemu-arm").unlink()
    table.remove(found)
    assert not (tmp_path / "qemu-arm").exists()


def test_a_line_longer_than_the_kernel_takes_is_not_sent(tmp_path: Path) -> None:
    table = instance(tmp_path)
    with pytest.raises(BinfmtError, match="1920"):
        table.register(Registration("x", b"", b"", "/" + "x" * 1920, "F"))
    assert (tmp_path / "register").read_text() == ""


def test_where_nothing_is_mounted_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(BinfmtError, match="binfmt_misc is not mounted at"):
        Instance(tmp_path).register(ARM)
