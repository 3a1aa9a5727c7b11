"""The list of accepted keys: ours goes in and out, and nothing else changes."""

import pytest

from virtsupd.machine.acl import EMPTY, AclError, authorized, revoked
from virtsupd.machine.signing_key import key_text

OURS = key_text("public-key", "AB" * 32)
OTHER = key_text("public-key", "CD" * 32)
GUIX = """(acl 
 (entry 
  (public-key 
   (ecc 
    (curve Ed25519)
    (q #CDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCD#)
    )
   )
  (tag 
   (guix import)
   )
  )
 )
"""  # noqa: W291 - as libgcrypt prints it
ODD = '; a (remark\n(acl (entry (public-key (rsa (n #00#))) (tag (guix import))) "b)(")'


def test_a_new_key_is_the_first() -> None:
    found = authorized(GUIX, OURS)
    assert found.index("ABAB") < found.index("CDCD")
    assert found.count("(entry") == 2
    assert found.endswith(GUIX.removeprefix("(acl"))


@pytest.mark.parametrize("text", [GUIX, EMPTY, "(acl)", "(acl (entry (public-key)))\n"])
def test_what_was_there_is_there_again_without_it(text: str) -> None:
    assert revoked(authorized(text, OURS), OURS) == text


@pytest.mark.parametrize("text", [GUIX, EMPTY])
def test_twice_is_once(text: str) -> None:
    once = authorized(text, OURS)
    assert authorized(once, OURS) == once
    assert revoked(revoked(once, OURS), OURS) == text


def test_another_key_stays() -> None:
    assert revoked(GUIX, OURS) == GUIX
    assert "CDCD" not in revoked(GUIX, OTHER)


@pytest.mark.parametrize("text", ["", "nonsense", "(list)", "(acl (entry)", "(acl))", "(acls)"])
def test_what_is_no_list_is_left_alone(text: str) -> None:
    with pytest.raises(AclError, match="is no"):
        authorized(text, OURS)


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(AclError, match="no public key"):
        authorized(EMPTY, "(public-key (rsa))")
