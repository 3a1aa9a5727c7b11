"""`[[ganeti.os]]`: what a table becomes, and what is refused with its key."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from virtsupd.ganeti import DebootstrapConfiguration, GanetiOs, GanetiOsVariant
from virtsupd.services.ganeti_os_table import OsTable


def table(name: str, *variants: dict[str, object], **keys: object) -> OsTable:
    return OsTable.model_validate({"name": name, "variants": list(variants), **keys})


def places(found: OsTable) -> list[tuple[object, ...]]:
    return [keys for keys, _ in found.faults()]


def test_the_example_of_the_specification() -> None:
    found = table("custom", {"name": "foo", "configuration": "this is fine"}, extension=".conf")
    assert list(found.faults()) == []
    assert found.os() == GanetiOs("custom", ".conf", (GanetiOsVariant("foo", "this is fine"),))


def test_a_variant_may_be_the_content_of_a_file() -> None:
    found = table("guix", {"name": "lab", "configuration_file": "/lab.scm"})
    assert found.os() == GanetiOs("guix", ".scm", (GanetiOsVariant("lab", Path("/lab.scm")),))


def test_what_a_variant_of_debootstrap_does_not_say_is_as_specified() -> None:
    [variant] = table("debootstrap", {"name": "default"}).os().variants
    assert variant.configuration == DebootstrapConfiguration()
    assert table("debootstrap").ending == ".conf"


def test_each_field_of_debootstrap_can_be_said() -> None:
    said: dict[str, object] = {
        "proxy": "http://p:1",
        "mirror": "http://m/",
        "arch": "armhf",
        "suite": "bookworm",
        "extra_pkgs": ["vim"],
        "components": ["main"],
        "generate_cache": False,
        "clean_cache": 3,
        "partition_style": "none",
        "partition_alignment": 4096,
    }
    hooks = {"10-a": "#!/bin/sh\n", "20-b": "/opt/b"}
    found = table("debootstrap", {"name": "lab", "hooks": hooks, **said})
    assert list(found.faults()) == []
    [variant] = found.os().variants
    values = said | {"extra_pkgs": ("vim",), "components": ("main",)}
    made = {"10-a": "#!/bin/sh\n", "20-b": Path("/opt/b")}
    assert variant.configuration == DebootstrapConfiguration(hooks=made, **values)  # type: ignore[arg-type]  # by name


def test_false_is_what_the_specification_calls_so() -> None:
    keys = ("hooks", "suite", "clean_cache", "partition_style", "partition_alignment")
    [variant] = table("debootstrap", {"name": "a", **dict.fromkeys(keys, False)}).os().variants
    assert isinstance(variant.configuration, DebootstrapConfiguration)
    assert [getattr(variant.configuration, key) for key in keys] == [None] * 5


def test_a_provider_of_another_name_may_read_the_same_fields() -> None:
    found = table("mine", {"name": "a", "suite": "trixie"})
    assert list(found.faults()) == []
    assert found.os().variants[0].configuration == DebootstrapConfiguration(suite="trixie")


@pytest.mark.parametrize(
    ("variant", "key"),
    [
        ({"name": "a b", "configuration": ""}, "name"),
        ({"name": "variants", "configuration": ""}, "name"),
        ({"name": "a", "configuration": "", "configuration_file": "/x"}, "configuration"),
        ({"name": "a", "configuration": "", "suite": "x"}, "suite"),
        ({"name": "a", "mirror": "a b"}, "mirror"),
        ({"name": "a", "hooks": {"a.sh": "#!/bin/sh"}}, "hooks"),
        ({"name": "a", "hooks": {"a": "echo"}}, "hooks"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(variant: dict[str, object], key: str) -> None:
    assert places(table("custom", variant, extension=".list")) == [("variants", 0, key)]


def test_a_variant_without_a_content_is_refused_where_nothing_is_its_default() -> None:
    assert places(table("custom", {"name": "a"})) == [("variants", 0)]


def test_two_variants_of_a_name_are_refused() -> None:
    one: dict[str, object] = {"name": "a", "configuration": ""}
    assert places(table("custom", one, one)) == [("variants", 1, "name")]


def test_the_os_itself_has_a_name_that_ganeti_finds() -> None:
    assert places(table("a.b")) == [("name",)]
    assert places(table("a", extension="conf")) == [("extension",)]


@pytest.mark.parametrize(
    "variant",
    [
        {"name": "a", "hooks": 1},
        {"name": "a", "hooks": "relative"},
        {"name": "a", "hooks": {"a": 1}},
        {"name": "a", "clean_cache": True},
        {"name": "a", "clean_cache": 0},
        {"name": "a", "generate_cache": "yes"},
        {"name": "a", "sweet": "bookworm"},
        {"configuration": ""},
    ],
)
def test_values_of_another_kind_and_unknown_keys_are_refused(variant: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        table("debootstrap", variant)
