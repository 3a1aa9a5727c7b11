"""Our program in the place of Ganeti's, by dpkg's leave where it has one, and Ganeti's back in it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from virtsupd.ganeti.installing import Packages, ReplacingError, install, is_installed, remove
from virtsupd.ganeti.rendering import rendering

GANETIS = "#!/bin/bash\nDAEMONS=(ganeti-noded)\n"
OURS = rendering("/run/virtsupd/control", "sshd")
OLDER = rendering("/run/older", "")

pytestmark = pytest.mark.process


class Host:
    """A directory with Ganeti's files, as Debian lays them out, and a data base of packages."""

    def __init__(self, root: Path, *, is_packaged: bool) -> None:
        self.path = root / "lib/daemon-util"
        self.aside = root / "lib/daemon-util.distrib"
        self.target = root / "lib/3.0/daemon-util"
        self.database = root / "dpkg"
        self.packages = Packages(str(self.database))
        self.target.parent.mkdir(parents=True)
        self.target.write_text(GANETIS)
        self.target.chmod(0o755)
        self.path.symlink_to("3.0/daemon-util")
        (self.database / "info").mkdir(parents=True)
        (self.database / "updates").mkdir()
        for name in ("status", "available", "diversions"):
            (self.database / name).touch()
        if is_packaged:
            self.add_package()

    def add_package(self) -> None:
        (self.database / "status").write_text(
            "Package: ganeti\nStatus: install ok installed\nMaintainer: x <x@example.org>\n"
            "Architecture: all\nVersion: 3.0.2-3\nDescription: x\n\n"
        )
        (self.database / "info/ganeti.list").write_text(f"/.\n{self.path}\n")
        (self.database / "info/format").write_text("1\n")

    def install(self, text: str = OURS) -> None:
        install(self.path, text, self.packages)

    def remove(self) -> None:
        remove(self.path, self.packages)

    def diversions(self) -> list[str]:
        return (self.database / "diversions").read_text().split()

    def is_as_ganeti_left_it(self) -> bool:
        names = sorted(path.name for path in self.path.parent.iterdir())
        return (
            self.path.is_symlink()
            and str(self.path.readlink()) == "3.0/daemon-util"
            and self.target.read_text() == GANETIS
            and names == ["3.0", "daemon-util"]
            and self.diversions() == []
        )

    def is_ours(self) -> bool:
        mode = self.path.lstat().st_mode & 0o7777
        kept = self.aside.is_symlink() and str(self.aside.readlink()) == "3.0/daemon-util"
        return self.path.read_text() == OURS and mode == 0o755 and kept


def has_dpkg() -> bool:
    return shutil.which("dpkg-divert") is not None


needs_dpkg = pytest.mark.skipif(not has_dpkg(), reason="without dpkg there is nothing to divert")


@pytest.fixture(name="host", params=[True, False], ids=["packaged", "by hand"])
def make_host(tmp_path: Path, request: pytest.FixtureRequest) -> Host:
    return Host(tmp_path, is_packaged=request.param)


def test_the_link_is_replaced_its_target_is_not_and_both_come_back(host: Host) -> None:
    before = host.path.lstat()
    host.install()
    assert host.is_ours()
    assert host.target.read_text() == GANETIS
    host.remove()
    assert host.is_as_ganeti_left_it()
    assert os.path.samestat(before, host.path.lstat())


def test_dpkg_is_told_where_it_installed_the_file_and_only_there(host: Host) -> None:
    is_packaged = host.packages.have(host.path)
    assert is_packaged is (has_dpkg() and (host.database / "info/ganeti.list").exists())
    host.install()
    told = [str(host.path), str(host.aside), ":"]
    assert host.diversions() == (told if is_packaged else [])
    assert host.packages.have(host.path) is is_packaged, "the diversion itself is no package"


def test_each_may_be_asked_for_twice(host: Host) -> None:
    host.remove()
    assert host.is_as_ganeti_left_it()
    host.install(OLDER)
    host.install()
    host.install()
    assert host.is_ours()
    host.remove()
    host.remove()
    assert host.is_as_ganeti_left_it()


def test_what_is_installed_is_known_by_version_socket_and_options(host: Host) -> None:
    assert not is_installed(host.path, OURS)
    host.install(OLDER)
    assert not is_installed(host.path, OURS)
    host.install()
    assert is_installed(host.path, OURS)
    host.path.chmod(0o644)
    assert is_installed(host.path, OURS) is False


def half_diverted(host: Host) -> None:
    host.packages.divert(host.path, host.aside)


def half_linked(host: Host) -> None:
    half_diverted(host)
    os.link(host.path, host.aside, follow_symlinks=False)


def half_moved(host: Host) -> None:
    """As dpkg-divert --rename, or whoever removed ours, leaves it."""
    half_diverted(host)
    host.path.rename(host.aside)


@needs_dpkg
@pytest.mark.parametrize("crash", [half_diverted, half_linked, half_moved])
def test_what_was_begun_is_completed_or_taken_back(
    tmp_path: Path, crash: Callable[[Host], None]
) -> None:
    for name in ("completed", "taken back"):
        host = Host(tmp_path / name, is_packaged=True)
        crash(host)
        if name == "completed":
            host.install()
            assert host.is_ours()
        host.remove()
        assert host.is_as_ganeti_left_it()


@needs_dpkg
def test_an_upgrade_of_the_package_goes_beside_ours(tmp_path: Path) -> None:
    """Dpkg writes what it has for the path to the place that it was told."""
    host = Host(tmp_path, is_packaged=True)
    host.install()
    command = ("dpkg-divert", "--admindir", str(host.database), "--truename", str(host.path))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(host.aside)
    host.aside.unlink()
    host.aside.symlink_to("3.1/daemon-util")
    host.install()
    host.remove()
    assert str(host.path.readlink()) == "3.1/daemon-util"


def test_when_the_package_has_gone_nothing_is_left(tmp_path: Path) -> None:
    host = Host(tmp_path, is_packaged=True)
    host.install()
    host.aside.unlink()
    (host.database / "status").write_text("")
    (host.database / "info/ganeti.list").unlink()
    host.remove()
    assert not os.path.lexists(host.path)
    assert host.diversions() == []
    with pytest.raises(ReplacingError, match="is Ganeti installed"):
        host.install()


def test_what_is_neither_ours_nor_ganetis_is_left_alone(host: Host) -> None:
    host.target.write_text("something else")
    with pytest.raises(ReplacingError, match="neither virtsupd's nor Ganeti's daemon-util"):
        host.install()
    assert host.diversions() == []
    assert not os.path.lexists(host.aside)


def test_two_originals_are_for_the_operator_to_judge(host: Host) -> None:
    host.aside.write_text(GANETIS)
    for change in (host.install, host.remove):
        with pytest.raises(ReplacingError, match="keep the one that is Ganeti's as"):
            change()
    assert (host.path.read_text(), host.aside.read_text()) == (GANETIS, GANETIS)


@needs_dpkg
def test_a_diversion_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    host = Host(tmp_path, is_packaged=True)
    mine = (str(host.path), f"{host.path}.mine", ":")
    (host.database / "diversions").write_text("".join(f"{line}\n" for line in mine))
    with pytest.raises(ReplacingError, match="dpkg-divert failed"):
        host.install()
    host.remove()
    assert host.diversions() == list(mine)
    assert host.path.is_symlink()
