"""What a variant of debootstrap says is what its file assigns, and nothing that bash could run."""

import os
import shlex
from pathlib import Path

import pytest

from virtsupd.ganeti.debootstrap import (
    DEFAULT_DEBOOTSTRAP_EXTRA_PKGS,
    DebootstrapConfiguration,
    GanetiOsError,
    architecture_of,
    configuration_faults,
    packages,
    quoted,
    variant_text,
)

ALL = DebootstrapConfiguration(
    proxy="http://p:3128",
    mirror="http://deb.example/debian",
    arch="armhf",
    suite="bookworm",
    extra_pkgs=("vim", "less"),
    components=("main", "contrib"),
    generate_cache=False,
    clean_cache=3,
    partition_style="none",
    partition_alignment=4096,
)


def faults(**said: object) -> dict[str, str]:
    return dict(configuration_faults(DebootstrapConfiguration(**said)))  # type: ignore[arg-type]  # wrong values too


def test_each_field_is_an_assignment_in_the_order_of_the_specification() -> None:
    assert variant_text(ALL, "/hooks").splitlines() == [
        "PROXY='http://p:3128'",
        "MIRROR='http://deb.example/debian'",
        "ARCH='armhf'",
        "SUITE='bookworm'",
        "EXTRA_PKGS='vim,less'",
        "COMPONENTS='main,contrib'",
        "CUSTOMIZE_DIR='/hooks'",
        "GENERATE_CACHE='no'",
        "CLEAN_CACHE='3'",
        "PARTITION_STYLE='none'",
        "PARTITION_ALIGNMENT='4096'",
    ]


def test_what_is_not_said_has_the_defaults_of_the_specification() -> None:
    text = variant_text(DebootstrapConfiguration(arch="amd64"), None)
    assert text.splitlines() == [
        "ARCH='amd64'",
        "SUITE='stable'",
        f"EXTRA_PKGS='{','.join(DEFAULT_DEBOOTSTRAP_EXTRA_PKGS)}'",
        "GENERATE_CACHE='yes'",
        "CLEAN_CACHE='14'",
        "PARTITION_STYLE='msdos'",
        "PARTITION_ALIGNMENT='2048'",
    ]
    assert sorted(DebootstrapConfiguration().hooks or {}) == ["10-interfaces", "90-grub"]  # type: ignore[arg-type]  # a mapping


def test_a_cache_that_is_never_cleaned_overrides_the_days_of_the_provider() -> None:
    text = variant_text(DebootstrapConfiguration(clean_cache=None), None)
    assert "CLEAN_CACHE=''\n" in text


@pytest.mark.parametrize("value", ["it's", "$(touch x)", "`id`", '"', "\\", "a b;c", "", "é"])
def test_a_value_is_one_word_of_the_shell(value: str) -> None:
    assert shlex.split(quoted(value)) == [value]


@pytest.mark.parametrize("value", ["a\nb", "a\0b", "a\rb"])
def test_a_value_of_more_than_a_line_is_refused(value: str) -> None:
    with pytest.raises(GanetiOsError):
        quoted(value)
    assert "proxy" in faults(proxy=value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mirror", "http://a --foreign"),  # the provider expands it without quotes
        ("mirror", "http://*/"),
        ("arch", "arm hf"),
        ("suite", "../../etc"),  # is part of the name of the cache's file
        ("suite", ""),
        ("extra_pkgs", ("vim,less",)),
        ("extra_pkgs", ("--foreign",)),
        ("components", ("main contrib",)),
        ("partition_style", "gpt"),
        ("clean_cache", 0),
        ("partition_alignment", -1),
        ("hooks", Path("/a b")),
        ("hooks", Path("relative")),
        ("hooks", {"hello.sh": "#!/bin/sh\n"}),  # run-parts skips it and says nothing
        ("hooks", {"hello": "echo hello"}),
    ],
)
def test_what_the_provider_would_misunderstand_is_refused(field: str, value: object) -> None:
    assert list(faults(**{field: value})) == [field]


def test_what_it_understands_is_not() -> None:
    assert list(configuration_faults(ALL)) == []
    assert faults(hooks={"99-hello_World": Path("/x")}, suite=None, partition_style=None) == {}
    assert faults(hooks=Path("/etc/hooks")) == {}


@pytest.mark.parametrize(
    ("arch", "kernel", "has_grub"),
    [
        ("amd64", "linux-image-amd64", True),
        ("i386", "linux-image-686", True),
        ("armhf", "linux-image-armmp", False),
        ("arm64", "linux-image-arm64", False),
    ],
)
def test_the_default_packages_are_those_of_the_architecture(
    arch: str, kernel: str, *, has_grub: bool
) -> None:
    found = packages(DEFAULT_DEBOOTSTRAP_EXTRA_PKGS, arch)
    assert [name for name in found if name.startswith("linux-image")] == [kernel]
    assert ("grub-pc" in found) == has_grub


def test_packages_that_were_said_stay_as_they_are() -> None:
    assert packages(("linux-image-amd64",), "armhf") == ("linux-image-amd64",)


@pytest.mark.parametrize(
    ("machine", "arch"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64")]
)
def test_without_an_architecture_it_is_the_hosts(machine: str, arch: str) -> None:
    assert architecture_of(machine) == arch
    own = packages(DEFAULT_DEBOOTSTRAP_EXTRA_PKGS, architecture_of(os.uname().machine))
    assert packages(DEFAULT_DEBOOTSTRAP_EXTRA_PKGS, None) == own


def test_no_packages_are_none_whatever_the_providers_default_is() -> None:
    assert "EXTRA_PKGS=''\n" in variant_text(DebootstrapConfiguration(extra_pkgs=()), None)
