from pathlib import Path

from virtsupd.config.kinds import KindContext
from virtsupd.config.settings import HostSettings
from virtsupd.services.libvirt_small import LOG_KEYS, SmallTable, small_daemon

CONTEXT = KindContext(HostSettings(run_dir=Path("/r")), {})


def test_a_daemon_of_libvirt_is_its_file_and_the_command_that_reads_it() -> None:
    table = SmallTable.model_validate({"libvirt": "/opt/l", "autostart": False})
    built = small_daemon("virtxd", "virtx", table, CONTEXT, reread=LOG_KEYS)
    keys = built.changes["virtxd"]
    assert keys["command"] == ["/opt/l/sbin/virtxd", "-f", "/r/generated/virtx/virtxd.conf"]
    assert keys["autostart"] is False
    [file] = built.files
    assert str(file.path) == "/r/generated/virtx/virtxd.conf"
    assert (file.reader, file.reread) == ("virtxd", LOG_KEYS)


def test_a_log_file_that_cannot_be_made_is_found_when_somebody_checks(tmp_path: Path) -> None:
    def faults(output: Path) -> list[str]:
        table = SmallTable.model_validate({"log_outputs": f"3:stderr 1:file:{output}"})
        built = small_daemon("x", "x", table, CONTEXT, reread=LOG_KEYS)
        found = list(built.host_faults())
        assert list(built.files[0].refusals()) == found  # it would end at a reload, too
        return [text for _, text in found]

    assert faults(tmp_path / "log") == []
    assert faults(tmp_path) == [f"{tmp_path} is a directory"]
    assert "there is no directory" in faults(tmp_path / "no/log")[0]
