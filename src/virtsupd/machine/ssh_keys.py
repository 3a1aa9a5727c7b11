"""SSH host keys for a guest, in OpenSSH's form. cryptography is imported with this module."""

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from virtsupd.errors import VirtsupdError

KINDS: Final = ("ed25519", "ecdsa", "rsa")
"""What `ssh-keygen -A` makes (OpenSSH 9.2)."""
_RSA_BITS: Final = 3072
"""As ssh-keygen has it since OpenSSH 8.0."""

_Key = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class KeyFileError(VirtsupdError):
    """A key that is there cannot be understood; it stays as it is."""

    code = "bad-key"


def host_key(kind: str) -> bytes:
    """Return a new private key of a kind of `KINDS`, without a passphrase."""
    key: _Key
    if kind == "ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
    elif kind == "ecdsa":
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = rsa.generate_private_key(65537, _RSA_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def public_line(private: bytes, comment: str) -> bytes:
    """Return the line of the public key's file that goes with a private key.

    Raises:
        KeyFileError: it is no private key, or has a passphrase.
    """
    try:
        key = load_ssh_private_key(private, None)
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"is no SSH key without a passphrase: {error}") from error
    except UnsupportedAlgorithm as error:
        raise KeyFileError(f"is an SSH key of a kind that is not known here: {error}") from error
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return line + f" {comment}\n".encode()
