"""Text of others that is to be shown."""


def printable(text: str) -> str:
    """Return a text with escapes for whatever is no visible character or space."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
