"""Which files a configuration becomes, and in which order."""

from pathlib import Path

from virtsupd.ganeti import (
    DebootstrapConfiguration,
    GanetiOs,
    GanetiOsVariant,
    debootstrap_os,
    debootstrap_variant,
    guix_os,
    guix_variant,
)
from virtsupd.ganeti.configuration_tree import configuration_settings

CUSTOM = GanetiOs("custom", ".conf", (GanetiOsVariant("foo", "this is fine"),))
BASE = "/etc/ganeti/instance-debootstrap"


def test_the_example_of_the_specification() -> None:
    made = configuration_settings([CUSTOM], record="/r")
    base = "/etc/ganeti/instance-custom"
    assert made.directories == ("/etc/ganeti", base, f"{base}/variants")
    assert list(made.files.items()) == [
        (f"{base}/variants/foo.conf", "this is fine"),
        (f"{base}/variants.list", "foo\n"),
        (f"{base}/variants/variants.list", "foo\n"),
    ]


def test_hooks_lie_in_a_directory_of_their_variant_and_can_be_executed() -> None:
    hooks: dict[str, str | Path] = {"10-a": "#!/bin/sh\n", "20-b": Path("/opt/b")}
    lab = debootstrap_variant("lab", DebootstrapConfiguration(hooks=hooks))
    made = configuration_settings([debootstrap_os([lab])], record="/r")
    place = f"{BASE}/virtsupd-hooks/lab"
    assert f"CUSTOMIZE_DIR='{place}'\n" in made.files[f"{BASE}/variants/lab.conf"]
    assert made.files[f"{place}/10-a"] == "#!/bin/sh\n"
    assert made.copies == {f"{place}/20-b": "/opt/b"}
    assert made.executables == (f"{place}/10-a", f"{place}/20-b")


def test_a_directory_of_hooks_is_used_where_it_is_and_none_leaves_the_providers() -> None:
    own = debootstrap_variant("own", DebootstrapConfiguration(hooks=Path("/opt/hooks")))
    none = debootstrap_variant("none", DebootstrapConfiguration(hooks=None))
    made = configuration_settings([debootstrap_os([own, none])], record="/r")
    assert "CUSTOMIZE_DIR='/opt/hooks'\n" in made.files[f"{BASE}/variants/own.conf"]
    assert "CUSTOMIZE_DIR" not in made.files[f"{BASE}/variants/none.conf"]
    assert made.executables == ()


def test_a_file_is_copied_and_no_hooks_are_an_empty_directory() -> None:
    bare = debootstrap_variant("bare", DebootstrapConfiguration(hooks={}))
    oses = [guix_os([guix_variant("lab", Path("/lab.scm"))]), debootstrap_os([bare])]
    made = configuration_settings(oses, record="/r")
    assert made.copies == {"/etc/ganeti/instance-guix/variants/lab.scm": "/lab.scm"}
    assert f"{BASE}/virtsupd-hooks/bare" in made.directories


def test_storage_paths_are_lines_and_hooks_a_link() -> None:
    made = configuration_settings([], record="/r", storage_paths=["/a", "/b"], hooks="/opt/hooks")
    assert made.files == {"/etc/ganeti/file-storage-paths": "/a\n/b\n"}
    assert made.links == {"/etc/ganeti/hooks": "/opt/hooks"}


def test_where_nothing_is_said_nothing_is_made() -> None:
    made = configuration_settings([debootstrap_os([])], record="/r")
    assert (made.directories, made.files, made.copies, made.links) == ((), {}, {}, {})
