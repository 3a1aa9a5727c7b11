"""`[qemu_binfmt]`: what the table becomes, and what is refused."""

import os
import sys
from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.binfmt.platforms import host_family, lookup_qemu_platforms
from virtsupd.binfmt.settings import Settings
from virtsupd.config.kinds import Built, KindContext
from virtsupd.config.settings import HostSettings
from virtsupd.core.names import Name
from virtsupd.core.spec import ExecProbe, ExitProbe, NotifyProbe
from virtsupd.process.settings_file import read_settings
from virtsupd.services import binfmt
from virtsupd.services.binfmt import BinfmtTable, build

CONTEXT = KindContext(HostSettings(run_dir=Path("/r")), {"qemu-binfmt": {}})
MOUNT = Name("file-system-/proc/sys/fs/binfmt_misc")
FOREIGN = ("s390x", "hppa")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give each test a folder of its own."""
    return Folder(tmp_path)


def of(**keys: object) -> Built:
    return build(BinfmtTable.model_validate(keys), CONTEXT)


def test_the_names_of_the_specification_are_there() -> None:
    found = binfmt.lookup_qemu_platforms("hppa", "s390x")
    assert [platform.name for platform in found] == ["s390x", "hppa"]
    assert all(isinstance(platform, binfmt.QemuPlatform) for platform in found)
    assert binfmt.is_qemu_platform(found[0])


def test_an_empty_table_is_a_service_without_platforms() -> None:
    built = of()
    assert built.problems == built.warnings == ()
    assert "platforms = []\n" in built.files[0].content


def test_the_table_becomes_the_settings(tmp_path: Path) -> None:
    built = of(platforms=["hppa", "s390x"], qemu="/opt/q/", flags="F", bytes="guix", recheck="5s")
    (file,) = built.files
    assert (str(file.path), file.mode) == ("/r/generated/qemu_binfmt/qemu-binfmt.conf", 0o644)
    written = tmp_path / "settings"
    written.write_text(file.content)
    settings = read_settings(written, Settings)
    assert (settings.platforms, settings.qemu) == (("hppa", "s390x"), "/opt/q")
    assert (settings.flags, settings.bytes, settings.recheck_seconds) == ("F", "guix", 5.0)
    assert (settings.record, settings.directory) == (
        "/r/qemu-binfmt.json",
        "/proc/sys/fs/binfmt_misc",
    )


def test_all_of_the_settings_are_read_again_at_a_reload() -> None:
    (file,) = of(platforms=FOREIGN).files
    assert {line.split(" = ")[0] for line in file.content.splitlines()} <= file.reread
    assert file.reader == "qemu-binfmt"


def test_the_service_and_its_mount_are_turned_on(folder: Folder) -> None:
    service = folder.service(f"[qemu_binfmt]\nplatforms = {list(FOREIGN)}\n", "qemu-binfmt")
    assert service.requires == (MOUNT,)
    assert service.description.endswith(": s390x, hppa")
    assert service.ready.probe == NotifyProbe()
    assert service.health is not None
    assert isinstance(service.health.probe, ExecProbe)
    assert service.health.on_failure == "degrade"
    assert {action.name for action in service.actions} == {
        "verify",
        "table",
        "explain",
        "register",
        "unregister",
    }
    mount = folder.service("[qemu_binfmt]\n", MOUNT)
    assert mount.process is not None
    assert mount.process.command == (sys.executable, "-I", "-m", "virtsupd.binfmt.mount")
    assert (mount.one_shot, mount.ready.probe) == (True, ExitProbe())


def test_without_the_table_the_mount_is_waited_for_alone(folder: Folder) -> None:
    text = f'[service.x]\ncommand = ["/bin/true"]\nrequires = ["{MOUNT}"]\n'
    assert folder.service(text, MOUNT).process is None


def test_a_name_that_is_no_platform_is_refused_with_the_nearest(folder: Folder) -> None:
    [problem] = folder.problems('[qemu_binfmt]\nplatforms = ["s390x", "hpppa"]\n')
    assert "[qemu_binfmt] platforms[1]" in problem or "platforms" in problem
    assert "no platform is named 'hpppa'; did you mean hppa?" in problem


def test_platforms_of_the_hosts_own_family_are_refused() -> None:
    own = host_family(os.uname().machine)
    named = [
        p.name for p in lookup_qemu_platforms("x86_64", "aarch64", "ppc64le") if p.family == own
    ]
    [(place, text)] = of(platforms=["s390x", *named]).problems
    assert place == ("platforms", 1)
    assert f"is of the host's own family, {own}" in text


def test_platforms_with_the_same_bytes_are_refused_together() -> None:
    [(place, text)] = of(platforms=["mips", "s390x", "mipsn32"], bytes="guix").problems
    assert place == ("platforms", 2)
    assert "'mips' and 'mipsn32' have the same bytes" in text
    assert of(platforms=["mips", "s390x", "mipsn32"]).problems == ()


def test_bytes_that_fit_no_program_are_refused() -> None:
    [(place, text)] = of(platforms=["microblaze"], bytes="guix").problems
    assert place == ("platforms", 0)
    assert "fit no program" in text
    assert of(platforms=["microblaze"]).problems == ()


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("flags", '"FF"', 'letters of "FPCO"'),
        ("flags", '"X"', 'letters of "FPCO"'),
        ("flags", "1", 'letters of "FPCO"'),
        ("bytes", '"gentoo"', '"debian" or "guix"'),
        ("recheck", "0", "longer than 0"),
        ("qemu", '"opt"', "an absolute path"),
        ("platforms", '"arm"', "a list"),
    ],
)
def test_values_are_checked(folder: Folder, key: str, value: str, allowed: str) -> None:
    [problem] = folder.problems(f"[qemu_binfmt]\n{key} = {value}\n")
    assert allowed in problem


def test_what_set_user_id_programs_get_is_warned_of() -> None:
    [(place, text)] = of(platforms=FOREIGN, flags="FPC").warnings
    assert place == ("flags",)
    assert "runs as its owner" in text


def test_an_emulator_that_is_missing_is_a_fault_of_the_host() -> None:
    built = of(platforms=FOREIGN, qemu="/no/such/prefix")
    assert built.problems == ()
    faults = list(built.host_faults())
    assert [place for place, _ in faults] == [("platforms", 0), ("platforms", 1)]
