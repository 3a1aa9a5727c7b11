"""Names and bits of capabilities."""

import pytest

from virtsupd.errors import SpawnError
from virtsupd.process.capabilities import (
    NUMBER_BY_NAME,
    capability_mask,
    own_capabilities,
    require_capabilities,
)


def test_numbers_are_the_kernels() -> None:
    known = {"CAP_CHOWN": 0, "CAP_NET_ADMIN": 12, "CAP_SYS_RESOURCE": 24, "CAP_BPF": 39}
    assert {name: NUMBER_BY_NAME[name] for name in known} == known
    assert len(NUMBER_BY_NAME) == 41


def test_a_mask_has_a_bit_for_each_name() -> None:
    assert capability_mask(()) == 0
    assert capability_mask(("CAP_CHOWN", "CAP_NET_ADMIN")) == 1 | 1 << 12


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SpawnError, match="CAP_FLY") as caught:
        require_capabilities(("CAP_FLY",))
    assert (caught.value.stage, caught.value.is_permanent) == ("capabilities", True)


def test_only_what_we_hold_can_be_handed_on() -> None:
    own = own_capabilities("CapPrm") & own_capabilities("CapBnd")
    for name, number in NUMBER_BY_NAME.items():
        if own >> number & 1:
            require_capabilities((name,))
        else:
            with pytest.raises(SpawnError, match=f"{name}: virtsupd does not hold it"):
                require_capabilities((name,))


def test_a_set_that_does_not_exist_is_empty() -> None:
    assert own_capabilities("CapNone") == 0
