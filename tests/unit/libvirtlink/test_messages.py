"""The wire between virtsupd and a link."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtsupd.libvirtlink.messages import (
    MAX_LINE_BYTES,
    BadLineError,
    News,
    checked,
    line,
    parsed,
    state_and_reason,
)
from virtsupd.process.domains import DomainState

TEXTS = st.text()
VALUES = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@given(st.dictionaries(st.from_regex(r"[a-z]+", fullmatch=True), VALUES))
def test_what_is_said_is_one_line_and_is_understood(fields: dict[str, object]) -> None:
    text = line(**fields)
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    assert parsed(text) == fields


def test_a_name_that_is_no_unicode_comes_back_as_it_was() -> None:
    """Names of libvirt's are bytes; Python keeps those that are not UTF-8 as surrogates."""
    odd = b"caf\xe9 \xff".decode(errors="surrogateescape")
    assert parsed(line(domain=odd))["domain"] == odd


def test_news_goes_over_the_wire_as_a_list() -> None:
    assert parsed(line(news=News("web1", "off", "shutdown"))) == {
        "news": ["web1", "off", "shutdown", None, None]
    }


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff", b"[" * 100_000])
def test_a_line_that_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(BadLineError):
        parsed(text)


@given(st.binary())
def test_no_bytes_raise_anything_else(text: bytes) -> None:
    try:
        found = parsed(text)
    except BadLineError:
        return
    assert json.loads(text) == found


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    assert checked(b"x" * 100) == b"x" * 100
    with pytest.raises(BadLineError, match="longer than"):
        checked(bytes(MAX_LINE_BYTES + 1))


@pytest.mark.parametrize("state", range(12))
@pytest.mark.parametrize("reason", range(-1, 14))
def test_every_number_of_libvirt_is_a_state_that_virtsupd_knows(state: int, reason: int) -> None:
    word, why = state_and_reason(state, reason)
    assert DomainState(word)
    assert why


def test_how_a_domain_ended_is_told_in_words() -> None:
    assert state_and_reason(5, 1) == ("off", "shutdown")
    assert state_and_reason(5, 3) == ("off", "crashed")
    assert state_and_reason(5, 5) == ("off", "saved")
    assert state_and_reason(6, 1) == ("crashed", "panicked")
    assert state_and_reason(1, 99) == ("running", "unknown")


def test_why_a_domain_is_paused_is_told_in_words() -> None:
    """Whether it migrates decides who runs it."""
    assert state_and_reason(3, 1) == ("paused", "user")
    assert state_and_reason(3, 2) == ("paused", "migration")
    assert state_and_reason(3, 11) == ("paused", "starting up")
    assert state_and_reason(3, 12) == ("paused", "post-copy")
