"""What a table says of an image, and what is wrong with it."""

from pathlib import Path

import pytest

from virtsupd.machine.image_settings import Settings
from virtsupd.machine.image_source import (
    BuiltImage,
    PathImage,
    SourceError,
    UrlImage,
    base_of,
    parse_checksum,
    place_of,
    source_of,
)

SUM = "sha256:" + "0123456789abcdef" * 4


def settings(
    image: str | None = None,
    checksum: str | None = None,
    os: str | None = None,
    *,
    is_stateful: bool = False,
) -> Settings:
    return Settings(
        "childhurd", "/images", image, checksum, os, size_bytes=7, is_stateful=is_stateful
    )


def url(text: str) -> UrlImage:
    return UrlImage(text, parse_checksum(SUM))


def test_a_path_a_url_and_a_file_for_guix_are_told_apart() -> None:
    assert source_of(settings("/srv/hurd.img")) == PathImage("/srv/hurd.img")
    assert source_of(settings("https://x.example/h.img", SUM)) == url("https://x.example/h.img")
    assert source_of(settings(os="/etc/hurd.scm")) == BuiltImage("/etc/hurd.scm", "hurd-qcow2", 7)


@pytest.mark.parametrize(
    ("given", "key", "said"),
    [
        (settings(), "image", "path of a disk image.*URL together with checksum.*set os"),
        (settings("/a", os="/b"), "os", "without image"),
        (settings("a.img"), "image", "begins with /"),
        (settings("/a", SUM), "checksum", "file:///a"),
        (settings(os="/a", checksum=SUM), "checksum", "URL"),
        (settings("https://x.example/a"), "checksum", "is missing"),
        (settings("https://x.example/a", "md5:00"), "checksum", "sha256"),
        (settings("https://x.example/a", "sha256:00"), "checksum", "64 hexadecimal digits"),
        (settings("https://x.example/a", "0" * 64), "checksum", "begins with"),
        (settings("ftp://x.example/a", SUM), "image", "URL of ftp"),
        (settings("https:///a", SUM), "image", "no host"),
        (settings("file://other/a", SUM), "image", "file:///"),
        (settings("https://me:secret@x.example/a", SUM), "image", "user's name"),
        (settings("https://x.example:port/a", SUM), "image", "URL that is none"),
        (settings("https://x.example/a b", SUM), "image", "spaces"),
        (settings("https://x.example/a\nb", SUM), "image", "spaces"),
    ],
)
def test_what_a_table_cannot_say_is_refused_with_its_key(
    given: Settings, key: str, said: str
) -> None:
    with pytest.raises(SourceError, match=said) as refused:
        source_of(given)
    assert refused.value.key == key
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "name", "packing"),
    [
        ("https://x.example/h.qcow2", "h-0123456789abcdef0123.qcow2", ""),
        ("https://x.example/h.QCOW2", "h-0123456789abcdef0123.qcow2", ""),
        ("https://x.example/h.img.gz?x=1", "h-0123456789abcdef0123.img", ".gz"),
        ("https://x.example/h.qcow2.xz", "h-0123456789abcdef0123.qcow2", ".xz"),
        ("https://x.example/h.zst", "h-0123456789abcdef0123.img", ".zst"),
        ("https://x.example/", "image-0123456789abcdef0123.img", ""),
        ("https://x.example/..%2F..%2Fetc%2F.passwd", "passwd-0123456789abcdef0123.img", ""),
        ("https://x.example/%2e%2e", "image-0123456789abcdef0123.img", ""),
        (f"https://x.example/{'h' * 500}.img", f"{'h' * 60}-0123456789abcdef0123.img", ""),
    ],
)
def test_the_name_of_a_fetched_file_is_harmless_and_says_its_checksum(
    text: str, name: str, packing: str
) -> None:
    assert url(text).file_name == name
    assert url(text).packing == packing


def test_a_checksum_in_capitals_is_the_same() -> None:
    assert parse_checksum(SUM.replace("abcdef", "ABCDEF")) == parse_checksum(SUM)
    assert str(parse_checksum(SUM)) == SUM


def test_what_a_query_says_is_not_shown() -> None:
    assert url("https://x.example/a?key=5#b").shown_url == "https://x.example/a?…"


def test_qemu_is_given_the_image_or_what_its_guest_writes() -> None:
    assert place_of(settings("/srv/a", is_stateful=True)) == Path("/srv/a")
    assert place_of(settings(os="/a.scm")) == Path("/images/childhurd-guix")
    kept = settings("https://x.example/h.img", SUM, is_stateful=True)
    assert place_of(kept) == Path("/images/childhurd-state.qcow2")
    assert base_of(kept) == Path("/images/h-0123456789abcdef0123.img")
