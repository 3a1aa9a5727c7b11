"""Directories for disks: those that Ganeti refuses are refused first."""

import pytest

from virtsupd.ganeti.storage_paths import FORBIDDEN, storage_path_fault


@pytest.mark.parametrize("path", ["/srv/ganeti/file-storage", "/usr/share/x", "/libx", "/etcetera"])
def test_a_directory_of_its_own_is_taken(path: str) -> None:
    assert storage_path_fault(path) is None


@pytest.mark.parametrize(
    "path", [*FORBIDDEN, "/etc/x", "/srv/../etc", "//etc", "/usr/local/lib64/a/b"]
)
def test_a_directory_of_the_system_is_refused(path: str) -> None:
    assert "where Ganeti keeps no disks" in (storage_path_fault(path) or "")


@pytest.mark.parametrize("path", ["srv", "", "/srv\n/etc", "/srv ", "#x"])
def test_what_would_not_be_one_line_of_the_list_is_refused(path: str) -> None:
    assert storage_path_fault(path) is not None
