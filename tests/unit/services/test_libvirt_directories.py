from pathlib import Path

from virtsupd.services.libvirt_directories import libvirt_directories


def modes(socket_dir: str, prefix: str | None) -> dict[str, int]:
    return {str(item.path): item.mode for item in libvirt_directories(socket_dir, prefix)}


def test_guests_files_are_not_for_everybody_and_console_logs_have_a_place() -> None:
    found = modes("/var/run/libvirt", None)
    assert found["/var/log/libvirt/qemu"] == 0o755
    assert found["/var/lib/libvirt/qemu"] == 0o750
    assert "/var/run/libvirt" not in found


def test_another_directory_of_sockets_is_made() -> None:
    assert modes("/srv/libvirt", None)["/srv/libvirt"] == 0o755


def test_a_libvirt_with_a_var_of_its_own_has_its_state_there(tmp_path: Path) -> None:
    assert "/var/cache/libvirt" in modes("/run/libvirt", str(tmp_path))
    (tmp_path / "var").mkdir()
    assert f"{tmp_path}/var/cache/libvirt" in modes("/run/libvirt", str(tmp_path))
