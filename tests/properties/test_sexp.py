"""Laws of the S-expression reader and writer: what is written is read, and nothing breaks it."""

from hypothesis import example, given
from hypothesis import strategies as st

from virtsupd.control.sexp import Datum, Keyword, Pair, Reader, Symbol, parse
from virtsupd.control.sexp_writer import write
from virtsupd.errors import ProtocolError

LIMIT = 4096

texts = st.text(max_size=20)
numbers = st.integers(-(10**18), 10**18) | st.floats(allow_nan=False)
atoms = st.booleans() | numbers | texts | texts.map(Symbol) | texts.map(Keyword)


def _lists(inner: st.SearchStrategy[Datum]) -> st.SearchStrategy[Datum]:
    items = st.lists(inner, max_size=4).map(tuple)
    pairs = st.builds(Pair, st.lists(inner, min_size=1, max_size=3).map(tuple), atoms)
    return items | pairs


data = st.recursive(atoms, _lists, max_leaves=20)
syntax = st.text(alphabet="()[]#{}|;:\"\\.'`,tfx0159ae+-/ \né☃\x00", max_size=40)
cuts = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def verdict(pieces: list[bytes]) -> tuple[str, Datum | None]:
    """Feed pieces; return how that ended, with the datum if there was one."""
    reader = Reader(limit_bytes=LIMIT, max_depth=8)
    try:
        for piece in pieces:
            datum = reader.feed(piece)
            if datum is not None:
                return "datum", datum
    except ProtocolError:
        return "refused", None
    return "waits", None


def cut(whole: bytes, sizes: list[int]) -> list[bytes]:
    """Cut bytes into pieces of the sizes, over and over."""
    pieces, start, turn = [], 0, 0
    while start < len(whole):
        end = start + sizes[turn % len(sizes)]
        pieces.append(whole[start:end])
        start, turn = end, turn + 1
    return pieces


@given(data)
def test_what_is_written_is_read_back(datum: Datum) -> None:
    found = parse(write(datum).encode())
    assert found == datum
    assert repr(found) == repr(datum)


@given(data)
def test_writing_what_was_read_changes_nothing(datum: Datum) -> None:
    text = write(datum)
    assert write(parse(text.encode())) == text
    assert "\n" not in text


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_protocol_error(garbage: bytes) -> None:
    verdict([garbage])
    verdict([b"(" + garbage])


@given(syntax, cuts)
@example("(#|||#)", [1])
@example("(#{}}#)", [1])
@example('("\\\\")', [1])
@example("#:#{a}# ", [2])
@example("(a#;b)", [3])
def test_cuts_change_nothing(text: str, sizes: list[int]) -> None:
    whole = text.encode()
    first, second = verdict([whole]), verdict(cut(whole, sizes))
    assert first[0] == second[0]
    assert repr(first[1]) == repr(second[1])


@given(data, st.binary(max_size=30), cuts)
def test_trailing_bytes_change_nothing(datum: Datum, trailing: bytes, sizes: list[int]) -> None:
    whole = write((datum,)).encode()
    expected = verdict([whole])
    found = verdict(cut(whole + trailing, sizes))
    assert repr(found) == repr(expected)


@given(data, st.integers(0, 60))
def test_the_limit_is_exact(datum: Datum, short_by: int) -> None:
    whole = write((datum,)).encode()
    reader = Reader(limit_bytes=len(whole) - short_by)
    try:
        assert reader.feed(whole) is not None
        assert short_by == 0
    except ProtocolError:
        assert short_by > 0
