"""A package's configuration file is known by what dpkg says of it."""

import hashlib
from pathlib import Path

import pytest

from virtsupd.ganeti.conffiles import is_as_packaged


@pytest.mark.parametrize("end", ["", " obsolete"])
def test_it_is_as_packaged_until_somebody_changes_it(tmp_path: Path, end: str) -> None:
    file, status = tmp_path / "a+b.conf", tmp_path / "status"
    file.write_text("default\n")
    digest = hashlib.md5(b"default\n", usedforsecurity=False).hexdigest()
    status.write_text(
        f"Package: x\nConffiles:\n /other {digest}\n {file} {digest}{end}\nVersion: 1\n"
    )
    assert is_as_packaged(file, status)
    file.write_text("lab\n")
    assert not is_as_packaged(file, status)


def test_a_file_of_no_package_is_not_and_neither_is_any_without_dpkg(tmp_path: Path) -> None:
    file, status = tmp_path / "a", tmp_path / "status"
    file.write_text("")
    status.write_text(f" {file}x d41d8cd98f00b204e9800998ecf8427e\n")
    assert not is_as_packaged(file, status)
    assert not is_as_packaged(file, tmp_path / "none")
