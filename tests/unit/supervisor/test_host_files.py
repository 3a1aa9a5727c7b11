"""What virtsupd makes on the host for itself, and that it removes nothing else."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from virtsupd.config.load import Loaded, load
from virtsupd.process.files import UnsafeDirectoryError
from virtsupd.services.registry import KINDS
from virtsupd.supervisor.host_files import HostFiles


def loaded_from(root: Path) -> Loaded:
    (root / "host.toml").write_text(
        f'[host]\nrun_dir = "{root}/run"\nstate_dir = "{root}/state"\nlog_dir = "{root}/log"\n'
        "unit_dirs = []\n[virtlog]\nautostart = false\n"
    )
    return load(root / "host.toml", KINDS)


def made(root: Path) -> HostFiles:
    """Make everything, and what services leave in it."""
    loaded = loaded_from(root)
    files = HostFiles(loaded.host)
    files.make_directories(loaded)
    files.write_generated(loaded)
    os.mkfifo(root / "run/ready/web")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind(str(root / "run/notify/web"))
    return files


def test_what_was_made_is_removed(tmp_path: Path) -> None:
    files = made(tmp_path)
    assert (tmp_path / "run/generated/virtlog/virtlogd.conf").exists()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o711
    files.remove()
    assert list((tmp_path / "run").iterdir()) == []
    files.remove_run_dir()
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "state").exists()


def test_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "run/notify/own").mkdir(parents=True)
    files = made(tmp_path)
    for place in ("notify", "ready", "generated/virtlog"):
        (tmp_path / "run" / place / "precious").touch()
    files.remove()
    files.remove_run_dir()
    left = sorted(str(p.relative_to(tmp_path / "run")) for p in (tmp_path / "run").rglob("*"))
    assert left == [
        "generated",
        "generated/virtlog",
        "generated/virtlog/precious",
        "notify",
        "notify/own",
        "notify/precious",
        "ready",
        "ready/precious",
    ]


def test_an_empty_run_directory_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    files = made(tmp_path)
    files.remove()
    files.remove_run_dir()
    assert list((tmp_path / "run").iterdir()) == []


def test_a_run_directory_that_was_taken_away_is_no_error(tmp_path: Path) -> None:
    files = made(tmp_path)
    shutil.rmtree(tmp_path / "run")
    files.remove()
    files.remove_run_dir()


@pytest.mark.parametrize("place", ["run", "state", "run/notify", "run/generated/virtlog"])
def test_a_directory_that_anybody_can_write_to_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place).chmod(0o1777)
    with pytest.raises(UnsafeDirectoryError, match="chmod go-w"):
        made(tmp_path)


def test_a_directory_for_logs_that_a_reload_names_is_made(tmp_path: Path) -> None:
    files = made(tmp_path)
    text = (tmp_path / "host.toml").read_text()
    (tmp_path / "host.toml").write_text(text.replace(f"{tmp_path}/log", f"{tmp_path}/logs"))
    files.make_directories(load(tmp_path / "host.toml", KINDS))
    assert (tmp_path / "logs").is_dir()
    (tmp_path / "host.toml").write_text(text.replace(f"{tmp_path}/log", f"{tmp_path}/host.toml"))
    with pytest.raises(FileExistsError):
        files.make_directories(load(tmp_path / "host.toml", KINDS))


def test_a_generated_file_is_written_only_if_it_is_not_as_it_should_be(tmp_path: Path) -> None:
    files, loaded = made(tmp_path), loaded_from(tmp_path)
    path = tmp_path / "run/generated/virtlog/virtlogd.conf"
    before = path.stat()
    files.write_generated(loaded)
    assert path.stat() == before
    path.chmod(0o666)
    files.write_generated(loaded)
    assert path.stat().st_mode == before.st_mode
    content = path.read_text()
    path.unlink()
    path.symlink_to("/dev/null")
    files.write_generated(loaded)
    assert (path.is_symlink(), path.read_text()) == (False, content)


def test_what_was_rendered_before_is_put_back(tmp_path: Path) -> None:
    files, old = made(tmp_path), loaded_from(tmp_path)
    generated = tmp_path / "run/generated"
    before = {path: path.read_bytes() for path in generated.rglob("*.conf")}
    text = (tmp_path / "host.toml").read_text()
    (tmp_path / "host.toml").write_text(f"{text}log_level = 1\n[virtlock]\nautostart = false\n")
    new = load(tmp_path / "host.toml", KINDS)
    files.write_generated(new)
    assert {path: path.read_bytes() for path in generated.rglob("*.conf")} != before
    assert files.put_back(old, new) == ()
    assert {path: path.read_bytes() for path in generated.rglob("*.conf")} == before
    [path] = before
    path.unlink()
    path.mkdir()
    [failure] = files.put_back(old, new)
    assert failure.startswith(f"{path} could not be put back: ")
