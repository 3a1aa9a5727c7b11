"""OS providers and their variants, with the names and defaults of the specification."""

from pathlib import Path

import pytest

import virtsupd.ganeti as api
from virtsupd.ganeti.providers import default_oses, os_faults, provider, variant_faults


def test_the_helpers_name_the_provider_and_the_ending_of_its_files() -> None:
    debootstrap = api.debootstrap_os(api.DEFAULT_DEBOOTSTRAP_VARIANTS)
    guix = api.guix_os(api.DEFAULT_GUIX_VARIANTS)
    assert (debootstrap.name, debootstrap.extension) == ("debootstrap", ".conf")
    assert (guix.name, guix.extension) == ("guix", ".scm")
    assert [one.name for one in (*debootstrap.variants, *guix.variants)] == ["default", "default"]
    assert debootstrap.variants[0].configuration == api.DebootstrapConfiguration()
    assert isinstance(guix.variants[0].configuration, Path)
    assert guix.variants[0].configuration.name == "dynamic.scm"


def test_a_variant_that_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(api.GanetiOsError, match=r"variant 'lab': suite: found 'a b'"):
        api.debootstrap_variant("lab", api.DebootstrapConfiguration(suite="a b"))
    with pytest.raises(api.GanetiOsError, match="name"):
        api.guix_variant("a b", "(operating-system)")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a#b", "a+b", ".a", "..", "a\n", "é", "a" * 65])
def test_names_that_would_not_be_one_line_one_file_and_one_os_are_refused(name: str) -> None:
    assert [key for key, _ in os_faults(name, "")] == ["name"]
    assert [key for key, _ in variant_faults(api.GanetiOsVariant(name, ""))] == ["name"]


def test_other_names_are_not() -> None:
    assert list(os_faults("debootstrap_2-x", ".conf")) == []
    assert list(variant_faults(api.GanetiOsVariant("bookworm-12.5_x", ""))) == []


def test_a_dot_is_for_variants_alone() -> None:
    """Ganeti does not find an OS with one."""
    assert [key for key, _ in os_faults("a.b", "")] == ["name"]


@pytest.mark.parametrize("extension", ["conf", ".", "/x", ".a b", ".conf\n"])
def test_an_extension_begins_with_a_dot(extension: str) -> None:
    assert [key for key, _ in os_faults("custom", extension)] == ["extension"]


def test_by_default_there_is_what_is_installed() -> None:
    assert provider("none-such") is None
    assert {one.name for one in default_oses()} <= {"debootstrap", "guix"}
    assert all(provider(one.name) is not None for one in default_oses())
