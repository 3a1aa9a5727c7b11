"""A signing key pair for a guest's Guix, in libgcrypt's text form.

Guix signs with ECDSA over Ed25519 (flags rfc6979), not with EdDSA: the secret `d` is a big-endian number and
the public point is d times the base point. An ordinary Ed25519 key becomes one: its clamped scalar is d, and
its public key is q. cryptography is imported with this module.
"""

import hashlib
import re
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_KEY_BYTES: Final = 32
_POINT: Final = re.compile(r"\(\s*q\s+#\s*([0-9A-Fa-f\s]+)#\s*\)")


def signing_pair() -> tuple[str, str]:
    """Return a new public and secret key, as the content of signing-key.pub and signing-key.sec."""
    key = Ed25519PrivateKey.generate()
    point = key.public_key().public_bytes_raw().hex().upper()
    scalar = _scalar(key.private_bytes_raw()).to_bytes(_KEY_BYTES, "big").hex().upper()
    return key_text("public-key", point), key_text("private-key", point, scalar)


def _scalar(seed: bytes) -> int:
    """Return the number that RFC 8032 makes of a seed (5.1.5)."""
    half = bytearray(hashlib.sha512(seed).digest()[:_KEY_BYTES])
    half[0] &= 248
    half[31] &= 127
    half[31] |= 64
    return int.from_bytes(half, "little")


def key_text(kind: str, point: str, scalar: str | None = None) -> str:
    """Return a key as libgcrypt prints it (GCRYSEXP_FMT_ADVANCED), blanks at line ends included."""
    secret = f"  (d #{scalar}#)\n" if scalar is not None else ""
    return f"({kind} \n (ecc \n  (curve Ed25519)\n  (q #{point}#)\n{secret}  )\n )\n"


def point_of(text: str) -> str | None:
    """Return the point of a key, in upper-case hexadecimal digits; None if there is none."""
    found = _POINT.search(text)
    return re.sub(r"\s", "", found[1]).upper() if found else None
