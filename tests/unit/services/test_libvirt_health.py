from pathlib import Path
from typing import Any

import pytest

from virtsupd.services.libvirt import LibvirtTable
from virtsupd.services.libvirt_health import Watch, libvirtd_watch, small_watch


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """Return the prefix of a libvirt with its client programs."""
    (tmp_path / "bin").mkdir()
    for name in ("virsh", "virt-admin"):
        (tmp_path / "bin" / name).touch(0o755)
    return str(tmp_path)


def watch(prefix: str, **keys: object) -> Watch:
    return libvirtd_watch(LibvirtTable.model_validate({"libvirt": prefix} | keys))


def health(found: Watch) -> dict[str, Any]:
    assert not found.warnings
    health = found.keys["health"]
    assert isinstance(health, dict)
    return health


def test_libvirtd_is_asked_as_clients_ask_it_and_restarted(prefix: str) -> None:
    found = health(watch(prefix, unix_sock_dir="/srv/l v"))
    uri = "qemu+unix:///system?socket=/srv/l%20v/libvirt-sock"
    assert found["command"][:4] == [f"{prefix}/bin/virsh", "--quiet", "--connect", uri]
    assert (found["on_failure"], found["timeout"]) == ("restart", "30s")


@pytest.mark.parametrize(
    "keys",
    [
        {"auth_unix_rw": "sasl"},
        {"access_drivers": ["polkit"]},
        {"max_clients": 1, "max_anonymous_clients": 1},
    ],
)
def test_what_holds_clients_up_is_no_reason_for_a_restart(
    prefix: str, keys: dict[str, object]
) -> None:
    command = health(watch(prefix, **keys))["command"]
    assert command[0] == f"{prefix}/bin/virt-admin"
    none = watch(prefix, **keys, admin_max_clients=1)
    assert none.keys == {}
    assert [keys for keys, _ in none.warnings] == [("admin_max_clients",)]


def test_virtlogd_is_not_restarted_which_would_lose_console_logs(prefix: str) -> None:
    found = health(small_watch("virtlogd", "/run/libvirt", prefix))
    assert found["on_failure"] == "degrade"
    assert found["command"][3] == "virtlogd:///system?socket=/run/libvirt/virtlogd-admin-sock"


def test_without_client_programs_nothing_is_restarted_for_ever(tmp_path: Path) -> None:
    for found in (watch(str(tmp_path)), small_watch("virtlogd", "/run/libvirt", str(tmp_path))):
        assert found.keys == {}
        [(_, text)] = found.warnings
        assert "nobody sees whether it answers" in text
