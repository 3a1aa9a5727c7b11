from pathlib import Path

from virtsupd.config.kinds import KindContext
from virtsupd.config.settings import HostSettings
from virtsupd.services.libvirt_held import LockGuard
from virtsupd.services.virtlock import VIRTLOCK, VirtlockTable, build

CONTEXT = KindContext(HostSettings(run_dir=Path("/r")), {"virtlockd": {}})


def test_the_table_becomes_the_daemon_file() -> None:
    built = build(VirtlockTable.model_validate({"max_clients": 4096}), CONTEXT)
    (file,) = built.files
    assert (str(file.path), file.mode) == ("/r/generated/virtlock/virtlockd.conf", 0o644)
    assert file.content.splitlines()[1:] == [
        "log_level = 3",
        'log_filters = "3:remote 4:event"',
        'log_outputs = "3:stderr"',
        "max_clients = 4096",
        "admin_max_clients = 5",
    ]
    assert built.changes["virtlockd"]["command"] == ["virtlockd", "-f", str(file.path)]


def test_its_end_is_asked_about_by_name() -> None:
    assert (VIRTLOCK.stop_guard, *VIRTLOCK.guarded) == (LockGuard(), "virtlockd")
