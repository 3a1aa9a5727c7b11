"""What packaging/ promises and can be read in its files, without an init system."""

import os
import re
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGING = CHECKOUT / "packaging"
FILES = sorted(path for path in PACKAGING.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.read_text().startswith("#!")]
STARTERS = [
    "systemd/virtsupd.service",
    "openrc/virtsupd",
    "sysvinit/virtsupd",
    "runit/virtsupd/run",
    "container/Containerfile",
    "guix/virtsupd.scm",
]
ENDERS = [
    "systemd/virtsupd-host-shutdown.service",
    "openrc/virtsupd",
    "sysvinit/virtsupd",
    "runit/rc.shutdown",
]


def name(path: Path) -> str:
    """Name a parameter by its path in packaging/."""
    return str(path.relative_to(PACKAGING))


def text(file: str) -> str:
    """Return what a file of packaging/ holds."""
    return (PACKAGING / file).read_text()


def unit(file: str) -> ConfigParser:
    """Return a systemd unit."""
    parser = ConfigParser(interpolation=None, strict=False, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    parser.read_string(text(f"systemd/{file}"))
    return parser


@pytest.mark.parametrize("file", STARTERS)
def test_each_says_what_happens_at_start_restart_upgrade_and_host_shutdown(file: str) -> None:
    for word in ("Start  ", "restart", "Upgrade  ", "Host shutdown  "):
        assert word in text(file), word


@pytest.mark.parametrize("file", ENDERS)
def test_all_end_the_host_the_same_way(file: str) -> None:
    assert "/usr/libexec/virtsupd/host-shutdown" in text(file)


def test_nobody_but_the_end_of_the_host_asks_for_a_shutdown() -> None:
    asking = {
        name(p) for p in FILES if re.search(r"virtsupctl .* shutdown$", p.read_text(), re.MULTILINE)
    }
    assert asking == {"libexec/host-shutdown"}
    assert '"shutdown")' in text("guix/virtsupd.scm")


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_scripts_can_be_run(script: Path) -> None:
    assert os.access(script, os.X_OK)


def test_systemd_signals_virtsupd_alone() -> None:
    service = unit("virtsupd.service")["Service"]
    assert service["Type"] == "notify"
    assert service["KillMode"] == "process"
    assert service["SendSIGHUP"] == "no"
    assert service["Delegate"] == "yes"


def test_systemd_runs_nothing_at_a_stop_and_keeps_the_records() -> None:
    service = unit("virtsupd.service")["Service"]
    forbidden = {"ExecStop", "ExecStopPost", "RuntimeDirectory", "OOMScoreAdjust", "PrivateTmp"}
    assert not forbidden & set(service)


def test_a_restart_of_virtsupd_does_not_reach_the_unit_that_ends_everything() -> None:
    section = unit("virtsupd-host-shutdown.service")["Unit"]
    assert section["RefuseManualStop"] == "yes"
    assert section["IgnoreOnIsolate"] == "yes"
    assert not {"Requires", "BindsTo", "PartOf", "Requisite"} & set(section)


def test_the_openrc_script_never_cleans_the_cgroup() -> None:
    assert 'rc_cgroup_cleanup="NO"' in text("openrc/virtsupd")


def test_every_setting_has_its_line_in_the_file_of_settings() -> None:
    settings = re.compile(r"VIRTSUPD_[A-Z_]+")
    used = {found for path in FILES for found in settings.findall(path.read_text())}
    assert used == set(re.findall(r"^#(VIRTSUPD_[A-Z_]+)=", text("default/virtsupd"), re.MULTILINE))


def test_the_host_file_of_the_container_shuts_down_at_term() -> None:
    host = tomllib.loads(text("container/host.toml"))
    assert host["host"]["on_term"] == "shutdown"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_the_manual_of_packaging_names_every_file(file: Path) -> None:
    named = (CHECKOUT / "docs/packaging.md").read_text()
    top = name(file).split("/")[0]
    assert f"packaging/{top}" in named
