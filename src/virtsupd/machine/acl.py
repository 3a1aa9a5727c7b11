"""Guix's list of keys whose builds are accepted (/etc/guix/acl), changed without touching what others wrote."""

import re
from collections.abc import Iterator
from typing import Final

from virtsupd.errors import VirtsupdError
from virtsupd.machine.signing_key import point_of

EMPTY: Final = "(acl)\n"
_HEAD: Final = re.compile(r"\s*\(\s*acl(?=[\s()])")
_TOKEN: Final = re.compile(r'"(?:\\.|[^"\\])*"|[()]|#[^#]*#|;[^\n]*', re.DOTALL)


class AclError(VirtsupdError):
    """A file is no list of keys; it stays as it is."""

    code = "bad-acl"


def is_authorized(text: str, public_key: str) -> bool:
    """Whether a key is in the list.

    Raises:
        AclError: it is no list, or the key is none.
    """
    point = _demand_point(public_key)
    _demand_head(text)
    return any(point_of(text[begin:end]) == point for begin, end in _entries(text))


def authorized(text: str, public_key: str) -> str:
    """Return the list with a key in front; as it is if the key is there.

    Raises:
        AclError: it is no list, or the key is none.
    """
    point = _demand_point(public_key)
    head = _demand_head(text)
    if is_authorized(text, public_key):
        return text
    return f"{text[:head]} \n{_entry(point)}{text[head:]}"


def revoked(text: str, public_key: str) -> str:
    """Return the list without a key; everything else is as it was.

    Raises:
        AclError: it is no list, or the key is none.
    """
    point = _demand_point(public_key)
    _demand_head(text)
    for begin, end in reversed(list(_entries(text))):
        if point_of(text[begin:end]) == point:
            text = _cut(text, begin, end)
    return text


def _cut(text: str, begin: int, end: int) -> str:
    """Take an entry out, with the blank and the line that `authorized` set before it."""
    before = text[:begin]
    for blank in (" ", "\n", " "):
        before = before.removesuffix(blank)
    return before + text[end:]


def _entry(point: str) -> str:
    return (
        " (entry \n  (public-key \n   (ecc \n    (curve Ed25519)\n"
        f"    (q #{point}#)\n    )\n   )\n  (tag \n   (guix import)\n   )\n  )"
    )


def _demand_head(text: str) -> int:
    found = _HEAD.match(text)
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth < 0:
            break
    if found is None or depth != 0:
        raise AclError("is no (acl ...), or its parentheses do not match")
    return found.end()


def _demand_point(public_key: str) -> str:
    point = point_of(public_key)
    if point is None:
        raise AclError("the key to be accepted is no public key on Ed25519")
    return point


def _entries(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each entry begins and ends."""
    depth, begin = 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] == "(":
            depth += 1
            if depth == 2:
                begin = token.start()
        elif token[0] == ")":
            depth -= 1
            if depth == 1:
                yield begin, token.end()
