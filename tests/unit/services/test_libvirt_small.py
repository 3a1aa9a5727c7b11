from pathlib import Path

from virtsupd.config.kinds import KindContext
from virtsupd.config.settings import HostSettings
from virtsupd.services.libvirt_small import SmallTable, small_daemon

CONTEXT = KindContext(HostSettings(run_dir=Path("/r")), {})


def test_a_daemon_of_libvirt_is_its_file_and_the_command_that_reads_it() -> None:
    table = SmallTable.model_validate({"libvirt": "/opt/l", "autostart": False})
    built = small_daemon("virtxd", "virtx", table, CONTEXT)
    keys = built.changes["virtxd"]
    assert keys["command"] == ["/opt/l/sbin/virtxd", "-f", "/r/generated/virtx/virtxd.conf"]
    assert keys["autostart"] is False
    assert [str(file.path) for file in built.files] == ["/r/generated/virtx/virtxd.conf"]


def test_a_log_file_that_cannot_be_made_is_found_when_somebody_checks(tmp_path: Path) -> None:
    def faults(output: Path) -> list[str]:
        table = SmallTable.model_validate({"log_outputs": f"3:stderr 1:file:{output}"})
        return [text for _, text in small_daemon("x", "x", table, CONTEXT).host_faults()]

    assert faults(tmp_path / "log") == []
    assert faults(tmp_path) == [f"{tmp_path} is a directory"]
    assert "is not a directory" in faults(tmp_path / "no/log")[0]
