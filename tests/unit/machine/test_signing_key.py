"""A pair of keys that libgcrypt signs and verifies with."""

import ctypes
import ctypes.util
import re

import pytest

from virtsupd.machine.signing_key import key_text, point_of, signing_pair

DATA = "(data (flags rfc6979) (hash sha256 #{}#))".format("ab" * 32)


def library() -> ctypes.CDLL:
    name = ctypes.util.find_library("gcrypt")
    if name is None:
        pytest.skip("there is no libgcrypt here")
    found = ctypes.CDLL(name)
    found.gcry_check_version(None)
    return found


def expression(gcrypt: ctypes.CDLL, text: str) -> ctypes.c_void_p:
    made = ctypes.c_void_p()
    content = text.encode()
    assert gcrypt.gcry_sexp_new(ctypes.byref(made), content, len(content), 1) == 0
    return made


def test_the_text_is_libgcrypt_s_own() -> None:
    assert key_text("public-key", "AB") == (
        "(public-key \n (ecc \n  (curve Ed25519)\n  (q #AB#)\n  )\n )\n"
    )
    gcrypt, (public, secret) = library(), signing_pair()
    for text in (public, secret):
        printed = ctypes.create_string_buffer(4096)
        count = gcrypt.gcry_sexp_sprint(expression(gcrypt, text), 3, printed, len(printed))
        assert count > 0
        assert printed.value.decode() == text


def test_what_the_secret_signs_the_public_verifies() -> None:
    gcrypt = library()
    for _ in range(4):
        public, secret = signing_pair()
        data, signature = expression(gcrypt, DATA), ctypes.c_void_p()
        private = expression(gcrypt, secret)
        assert gcrypt.gcry_pk_sign(ctypes.byref(signature), data, private) == 0
        assert gcrypt.gcry_pk_verify(signature, data, expression(gcrypt, public)) == 0
        other, _ = signing_pair()
        assert gcrypt.gcry_pk_verify(signature, data, expression(gcrypt, other)) != 0


def test_two_pairs_differ_and_have_one_point_each() -> None:
    pairs = [signing_pair() for _ in range(2)]
    assert pairs[0] != pairs[1]
    for public, secret in pairs:
        assert point_of(public) == point_of(secret)
        assert re.fullmatch("[0-9A-F]{64}", point_of(public) or "")


def test_what_is_no_key_has_no_point() -> None:
    assert point_of("(public-key (rsa (n #00#)))") is None
