"""Compression of rotated files in a child."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from virtsupd.logkeeper import compress
from virtsupd.logkeeper.compress import Compressor
from virtsupd.process.keeper_link import _site

TEXT = b"a line that is there again and again\n" * 1000


@pytest.fixture
def log(tmp_path: Path) -> Path:
    log = tmp_path / "a.log"
    log.touch()
    Path(f"{log}.1").write_bytes(TEXT)
    return log


def run(compressor: Compressor) -> list[str]:
    """Let it work until there is nothing to do; return what it says."""
    said = []
    while (pidfd := compressor.start()) >= 0:
        os.close(pidfd)
        said.append(compressor.finish())
    return said


def test_plain_rotated_files_are_compressed_with_their_mode_and_time(log: Path) -> None:
    plain = Path(f"{log}.1")
    plain.chmod(0o604)
    os.utime(plain, (1000, 1000))
    Path(f"{log}.2").write_bytes(b"older\n")
    compressor = Compressor(_site())
    compressor.add(str(log), 5)
    assert run(compressor) == ["", ""]
    one = Path(f"{log}.1.zst")
    assert zstd.decompress(one.read_bytes()) == TEXT
    assert one.stat().st_mode & 0o777 == 0o604
    assert one.stat().st_mtime == 1000
    assert sorted(path.name for path in log.parent.iterdir()) == [
        "a.log",
        "a.log.1.zst",
        "a.log.2.zst",
    ]


def test_a_file_that_was_renumbered_meanwhile_gets_its_new_number(log: Path) -> None:
    compressor = Compressor(_site())
    compressor.add(str(log), 5)
    os.close(compressor.start())
    Path(f"{log}.1").rename(f"{log}.2")
    Path(f"{log}.1").write_bytes(b"newer\n")
    assert compressor.finish() == ""
    assert zstd.decompress(Path(f"{log}.2.zst").read_bytes()) == TEXT
    assert Path(f"{log}.1").read_bytes() == b"newer\n"


def test_a_file_that_went_meanwhile_leaves_nothing(log: Path) -> None:
    compressor = Compressor(_site())
    compressor.add(str(log), 5)
    os.close(compressor.start())
    Path(f"{log}.1").unlink()
    assert compressor.finish() == ""
    assert [path.name for path in log.parent.iterdir()] == ["a.log"]


def test_a_kill_between_naming_and_removing_is_finished(log: Path) -> None:
    Path(f"{log}.1.zst").write_bytes(zstd.compress(TEXT))
    compressor = Compressor(_site())
    compressor.add(str(log), 5)
    assert run(compressor) == []
    assert not Path(f"{log}.1").exists()


def test_without_the_module_files_stay_and_it_is_said_once(log: Path) -> None:
    compressor = Compressor("")
    compressor.add(str(log), 5)
    pidfd = compressor.start()
    os.close(pidfd)
    compressor.kill()
    assert Path(f"{log}.1").read_bytes() == TEXT
    assert compressor._explain(3).endswith("backports.zstd is missing")
    compressor.add(str(log), 5)
    assert compressor.start() == -1


def test_a_killed_compression_keeps_the_plain_file(log: Path) -> None:
    compressor = Compressor(_site())
    compressor.add(str(log), 5)
    os.close(compressor.start())
    compressor.kill()
    assert [compressor.is_busy] == [False]
    assert Path(f"{log}.1").exists() or Path(f"{log}.1.zst").exists()
    assert not Path(f"{log}.virtsupd-zst").exists()


def test_what_is_no_regular_file_is_left_alone(log: Path) -> None:
    Path(f"{log}.1").unlink()
    Path(f"{log}.1").symlink_to("/etc/passwd")
    Path(f"{log}.2").mkdir()
    compressor = Compressor(_site())
    compressor.add(str(log), 5)
    assert run(compressor) == []


def test_a_failure_is_said_with_the_file(log: Path) -> None:
    compressor = Compressor(_site())
    compressor.add(str(log), 5)
    os.close(compressor.start())
    assert "could not be compressed" in compressor._explain(1)
    compressor.kill()


def test_a_whole_file_becomes_one_frame(tmp_path: Path) -> None:
    source = os.open(tmp_path / "in", os.O_RDWR | os.O_CREAT)
    target = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
    try:
        os.write(source, TEXT)
        os.lseek(source, 0, os.SEEK_SET)
        assert compress.compress(source, target, "") == 0
    finally:
        os.close(source)
        os.close(target)
    assert zstd.decompress((tmp_path / "out").read_bytes()) == TEXT


def test_without_site_packages_the_module_is_missing() -> None:
    source = Path(compress.__file__).parents[2]
    code = f"import sys; sys.path.insert(0, {str(source)!r})\n"
    code += "from virtsupd.logkeeper import compress; sys.exit(compress.compress(0, 1, ''))"
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], stdin=subprocess.DEVNULL, check=False
    )
    assert ended.returncode == (0 if sys.version_info >= (3, 14) else 3)


def test_no_room_for_the_result_is_no_reason_to_fail(log: Path) -> None:
    half_done = Path(f"{log}.virtsupd-zst")
    half_done.mkdir()
    compressor = Compressor(_site())
    compressor.add(str(log), 5)
    assert run(compressor) == []
    assert Path(f"{log}.1").read_bytes() == TEXT


def test_a_result_that_cannot_be_named_is_said(log: Path) -> None:
    compressor = Compressor(_site())
    compressor.add(str(log), 5)
    os.close(compressor.start())
    Path(f"{log}.1.zst").mkdir()
    assert "cannot be put in place" in compressor.finish()
    assert Path(f"{log}.1").read_bytes() == TEXT


@pytest.mark.parametrize("call", ["fork", "pidfd_open"])
def test_a_machine_out_of_processes_leaves_the_plain_file(
    log: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: int) -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, call, refuse)
    compressor = Compressor(_site())
    compressor.add(str(log), 5)
    assert run(compressor) == []
    assert not compressor.is_busy
    assert Path(f"{log}.1").exists() or Path(f"{log}.1.zst").exists()


def test_a_rotated_file_is_compressed_in_parts_that_can_be_read_alone(log: Path) -> None:
    text = os.urandom(1 << 20) + TEXT * 40
    Path(f"{log}.1").write_bytes(text)
    compressor = Compressor(_site())
    compressor.add(str(log), 5)
    assert run(compressor) == [""]
    whole = Path(f"{log}.1.zst").read_bytes()
    first = zstd.get_frame_size(whole)
    assert first < len(whole)
    assert zstd.decompress(whole[:first]) == text[: 1 << 20]
    assert zstd.decompress(whole) == text


@pytest.mark.timeout(5)
@pytest.mark.parametrize("name", ["a.log.1", "a.log.virtsupd-zst"])
@pytest.mark.parametrize("kind", ["fifo", "link", "hard link"])
def test_what_somebody_put_in_the_way_is_neither_read_nor_written(
    log: Path, name: str, kind: str
) -> None:
    secret, place = log.with_name("secret"), log.with_name(name)
    secret.write_text("root's own\n")
    os.utime(secret, (1000, 1000))
    place.unlink(missing_ok=True)
    make: dict[str, Callable[[], None]] = {
        "fifo": lambda: os.mkfifo(place),
        "link": lambda: place.symlink_to(secret),
        "hard link": lambda: place.hardlink_to(secret),
    }
    make[kind]()
    compressor = Compressor(_site())
    compressor.add(str(log), 5)
    run(compressor)
    assert Path(f"{log}.1.zst").exists() == (name != "a.log.1")
    assert secret.read_text() == "root's own\n"
    assert secret.stat().st_mtime == 1000


def test_a_link_put_at_the_compressed_files_name_leads_nobody_elsewhere(log: Path) -> None:
    secret, half_done = log.with_name("secret"), Path(f"{log}.virtsupd-zst")
    secret.touch()
    os.utime(secret, (1000, 1000))
    compressor = Compressor(_site())
    compressor.add(str(log), 5)
    os.close(compressor.start())
    half_done.unlink()
    half_done.symlink_to(secret)
    assert "cannot be put in place" in compressor.finish()
    assert secret.stat().st_mtime == 1000
    assert Path(f"{log}.1").read_bytes() == TEXT
