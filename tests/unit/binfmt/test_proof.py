import pytest

from virtsupd.binfmt.platforms import (
    NAMES,
    UnknownPlatformError,
    can_match,
    lookup_qemu_platforms,
)
from virtsupd.binfmt.proof import program

DEBIAN = {platform.name: platform for platform in lookup_qemu_platforms(*NAMES)}
GUIX = {platform.name: platform for platform in lookup_qemu_platforms(*NAMES, bytes="guix")}
# By the specification's bytes the kernel cannot tell these apart.
TWINS = {"mips": "mipsn32", "mipsn32": "mips", "mipsel": "mipsn32el", "mipsn32el": "mipsel"}


@pytest.mark.parametrize("name", NAMES)
def test_the_kernel_takes_it_for_a_program_of_its_platform_and_of_no_other(name: str) -> None:
    assert [other for other in NAMES if DEBIAN[other].matches(program(name))] == [name]


@pytest.mark.parametrize("name", [name for name in NAMES if can_match(GUIX[name])])
def test_the_bytes_of_the_specification_fit_it_too(name: str) -> None:
    takers = {other for other in NAMES if GUIX[other].matches(program(name))}
    assert takers == {name, TWINS.get(name, name)}


def test_what_is_no_platform_has_none() -> None:
    with pytest.raises(UnknownPlatformError, match="armhf"):
        program("armhf")
