"""Which entry takes a program, as the kernel sees it."""

from dataclasses import replace

from virtsupd.binfmt.entries import Entry
from virtsupd.binfmt.matching import hidden_by, platforms_taken, takes
from virtsupd.binfmt.platforms import lookup_qemu_platforms
from virtsupd.binfmt.proof import program

IDENTITY = (1, 1)


def entry(
    name: str,
    magic: bytes = b"",
    mask: bytes = b"",
    *,
    offset: int = 0,
    extension: str = "",
    is_enabled: bool = True,
) -> Entry:
    mask = mask or b"\xff" * len(magic)
    return Entry(name, IDENTITY, is_enabled, "/x", "", offset, magic, mask, extension)


def of(name: str) -> Entry:
    [platform] = lookup_qemu_platforms(name)
    return entry(platform.entry, platform.magic, platform.mask)


def test_what_is_not_understood_takes_no_programs_and_hides_nothing() -> None:
    strange = replace(of("arm"), name="strange", magic=b"", mask=b"", unknown="magic zz")
    assert not takes(strange, program("arm"), "/x")
    assert platforms_taken(strange) == []
    assert hidden_by(of("arm"), [strange]) is None
    assert hidden_by(strange, [of("arm")]) is None


def test_an_entry_takes_the_programs_of_its_platform() -> None:
    assert takes(of("arm"), program("arm"), "/x")
    assert not takes(of("arm"), program("armeb"), "/x")


def test_a_magic_may_stand_further_on_and_a_file_ends_in_zeros() -> None:
    assert takes(entry("x", b"bc", offset=1), b"abc", "/x")
    assert not takes(entry("x", b"bc", offset=2), b"abc", "/x")
    assert takes(entry("x", b"c\0", offset=2), b"abc", "/x")


def test_the_kernel_reads_256_bytes() -> None:
    assert not takes(entry("x", b"a", offset=256), b"a" * 300, "/x")
    assert takes(entry("x", b"a", offset=255), b"a" * 300, "/x")


def test_an_entry_may_go_by_what_follows_the_last_dot_of_the_path() -> None:
    jar = entry("java", extension="jar")
    assert takes(jar, b"", "/a.b/x.jar")
    assert not takes(jar, b"", "/a/x.jar.gz")
    assert not takes(jar, b"", "/a.jar/x")
    assert not takes(jar, b"", "jar")


def test_what_an_earlier_entry_takes_whole_is_hidden_by_it() -> None:
    arm, wide = of("arm"), entry("wide", b"\x7fELF")
    assert hidden_by(arm, [of("aarch64"), wide]) == wide
    assert hidden_by(arm, [of("arm")]) is not None
    assert hidden_by(wide, [arm]) is None, "an entry that takes less hides none that takes more"
    assert hidden_by(arm, []) is None


def test_what_is_off_hides_nothing_and_is_not_hidden() -> None:
    arm = of("arm")
    assert hidden_by(arm, [entry("wide", b"\x7fELF", is_enabled=False)]) is None
    off = entry("off", arm.magic, arm.mask, is_enabled=False)
    assert hidden_by(off, [arm]) is None


def test_entries_of_another_kind_hide_nothing() -> None:
    jar = entry("java", extension="jar")
    assert hidden_by(jar, [entry("wide", b"\x7fELF")]) is None
    assert hidden_by(of("arm"), [jar]) is None
    assert hidden_by(entry("x", b"bc"), [entry("y", b"c", offset=1)]) is not None


def test_the_platforms_of_an_entry_are_known_by_its_bytes() -> None:
    assert platforms_taken(of("mipsn32")) == ["mipsn32"]
    assert len(platforms_taken(entry("wide", b"\x7fELF"))) == 34
    assert platforms_taken(entry("python", b"\xa7\x0d\x0d\x0a")) == []
    assert list(platforms_taken(entry("java", extension="jar"))) == []
