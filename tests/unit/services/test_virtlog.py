from pathlib import Path

from virtsupd.config.kinds import KindContext
from virtsupd.config.settings import HostSettings
from virtsupd.services.libvirt_held import ConsoleGuard
from virtsupd.services.virtlog import VIRTLOG, VirtlogTable, build

CONTEXT = KindContext(HostSettings(run_dir=Path("/r")), {"virtlogd": {}})


def test_the_table_becomes_the_daemon_file() -> None:
    built = build(VirtlogTable.model_validate({"max_size": "2MB", "max_clients": 1000}), CONTEXT)
    (file,) = built.files
    assert (str(file.path), file.mode) == ("/r/generated/virtlog/virtlogd.conf", 0o644)
    assert file.content.splitlines()[1:] == [
        "log_level = 3",
        'log_filters = "3:remote 4:event"',
        'log_outputs = "3:stderr"',
        "max_clients = 1000",
        "max_size = 2097152",
        "max_backups = 3",
    ]


def test_the_unit_runs_it_with_that_file() -> None:
    changes = build(VirtlogTable(autostart=False), CONTEXT).changes["virtlogd"]
    assert changes["command"] == ["virtlogd", "-f", "/r/generated/virtlog/virtlogd.conf"]
    assert changes["autostart"] is False


def test_another_build_is_called_by_its_path() -> None:
    changes = build(VirtlogTable(libvirt="/opt/none"), CONTEXT).changes["virtlogd"]
    assert changes["command"] == [
        "/opt/none/sbin/virtlogd",
        "-f",
        "/r/generated/virtlog/virtlogd.conf",
    ]
    assert str(changes["environment"]).startswith("{'PATH': '/opt/none/sbin:/opt/none/bin:")


def test_its_end_is_asked_about_by_name() -> None:
    assert (VIRTLOG.stop_guard, *VIRTLOG.guarded) == (ConsoleGuard(), "virtlogd")
