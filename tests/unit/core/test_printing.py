"""Text of others that is to be shown."""

import pytest

from virtsupd.core.printing import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, \u00fcber alles", "plain text, \u00fcber alles"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[2J", "\\x1b[2J"),
        (b"/bin/\xff".decode(errors="surrogateescape"), "/bin/\\udcff"),
    ],
)
def test_what_moves_a_cursor_or_cannot_be_written_is_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()
