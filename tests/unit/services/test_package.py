from pathlib import Path

from virtsupd.services.package import SYSTEM_PATH, program, search_path


def test_without_a_prefix_path_decides() -> None:
    assert program("libvirtd", None) == "libvirtd"
    assert search_path([None]) == ":".join(SYSTEM_PATH)


def test_a_prefix_is_searched_in_its_program_directories(tmp_path: Path) -> None:
    for part in ("bin", "libexec"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "libvirtd").touch(mode=0o755)
    assert program("libvirtd", f"{tmp_path}/") == f"{tmp_path}/bin/libvirtd"


def test_a_prefix_without_the_program_never_falls_back_to_another(tmp_path: Path) -> None:
    assert program("libvirtd", str(tmp_path)) == f"{tmp_path}/sbin/libvirtd"


def test_prefixes_come_first_on_the_path_and_once() -> None:
    assert search_path(["/opt/a", None, "/usr/local", "/opt/a"]).split(":")[:4] == [
        "/opt/a/sbin",
        "/opt/a/bin",
        "/usr/local/sbin",
        "/usr/local/bin",
    ]
    assert search_path(["/"]).startswith("/sbin:/bin:/usr/local/sbin")
