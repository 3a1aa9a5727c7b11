import socket
from pathlib import Path

from virtsupd.services.libvirt_polkit import BUS, SERVICE, without_polkit
from virtsupd.services.libvirt_sockets import AuthTable

ALL = AuthTable(access_drivers=("polkit",), auth_unix_ro="polkit", auth_unix_rw="polkit")


def install(root: Path) -> None:
    service = root / "usr/share" / SERVICE
    service.parent.mkdir(parents=True)
    service.touch()


def told(table: AuthTable, root: Path) -> dict[str, str]:
    return {str(keys[0]): text for keys, text in without_polkit(table, root)}


def test_without_polkit_even_root_may_do_nothing_or_nobody_else_comes_in(tmp_path: Path) -> None:
    found = told(ALL, tmp_path)
    assert "root included, while polkit is not installed" in found["access_drivers"]
    assert "lets only root in" in found["auth_unix_ro"]
    assert "lets only root in" in found["auth_unix_rw"]


def test_polkit_is_reached_by_the_system_bus(tmp_path: Path) -> None:
    install(tmp_path)
    assert "there is no system bus" in told(ALL, tmp_path)["access_drivers"]
    (tmp_path / BUS).parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(tmp_path / BUS))
    assert told(ALL, tmp_path) == {}


def test_defaults_are_no_reason_for_a_warning(tmp_path: Path) -> None:
    assert told(AuthTable(), tmp_path) == {}
    assert told(AuthTable(auth_unix_ro="none", auth_unix_rw="sasl"), tmp_path) == {}
