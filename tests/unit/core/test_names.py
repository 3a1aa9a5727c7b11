"""A name is checked once, and is one file name whatever it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtsupd.core.names import RESERVED, Name, file_name, parse_name


@pytest.mark.parametrize(
    "text",
    ["a", "libvirtd", "file-system-/proc/sys/fs/binfmt_misc", "vm@1", "a.b+c:d_e-f", "9p", "über"],
)
def test_names_of_services_are_names(text: str) -> None:
    assert parse_name(text) == text


@pytest.mark.parametrize(
    "text", ["", "-a", ".a", "/a", "a b", "a\n", "a\0b", "a%b", "x" * 129, "ü" * 65, "(a)"]
)
def test_what_is_no_name_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="is not a service name: letters, digits and any of"):
        parse_name(text)


def test_the_longest_name_is_128_bytes() -> None:
    assert parse_name("ü" * 64)


def test_a_name_is_no_longer_than_a_file_name_may_be() -> None:
    assert len(file_name(parse_name("a" * 92 + "/" * 36)).encode()) == 200
    with pytest.raises(ValueError, match=r"each / counts as three bytes, .* there may be 200"):
        parse_name("a" * 91 + "/" * 37)


@pytest.mark.parametrize("text", sorted(RESERVED))
def test_the_names_of_virtsupd_itself_are_not_free(text: str) -> None:
    with pytest.raises(ValueError, match="means virtsupd itself"):
        parse_name(text)


@given(st.text(), st.text())
def test_different_names_are_different_single_path_components(one: str, other: str) -> None:
    assert "/" not in file_name(Name(one))
    assert (file_name(Name(one)) == file_name(Name(other))) == (one == other)
