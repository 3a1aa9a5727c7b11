"""Images with the real qemu-img and QEMU: locks, accounts, what guests write, full disks."""

import gzip
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.image_server import image_server

from virtsupd.machine.image import Work, image_of, see_to
from virtsupd.machine.image_facts import UnfitImageError, account_of, demand_fit, facts_of
from virtsupd.machine.image_locks import users_of
from virtsupd.machine.image_report import Report
from virtsupd.machine.image_settings import Settings
from virtsupd.machine.image_source import ImageError
from virtsupd.process.own_notify import OwnNotify

pytestmark = pytest.mark.component

ROOT = account_of("root", None)
NOBODY = account_of("nobody", None)
QEMU = ("qemu-system-i386", "-S", "-nodefaults", "-display", "none")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory that every account may enter."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.geteuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o011)
    return tmp_path


@pytest.fixture
def disk(place: Path) -> Path:
    """Return a raw disk with a boot sector."""
    path = place / "hurd.img"
    with path.open("wb") as file:
        file.write(bytes(510) + b"\x55\xaa")
        file.truncate(4 << 20)
    return path


def qemu_img(*words: str) -> None:
    subprocess.run(["qemu-img", *words], check=True, capture_output=True)


@contextmanager
def qemu(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a QEMU whose guest does not, and end it."""
    process = subprocess.Popen(
        [*QEMU, "-qmp", "stdio", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def has_its_images(process: subprocess.Popen[str]) -> bool:
    """Return whether QEMU answers on its monitor, once it does or has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.write('{"execute": "qmp_capabilities"} {"execute": "query-status"}\n')
        process.stdin.flush()
    return any("prelaunch" in line for line in process.stdout)


def drive(path: Path) -> tuple[str, str]:
    return "-drive", f"file={path},format=raw,if=ide"


@pytest.mark.parametrize(
    ("others", "is_written", "said"),
    [
        (["--snapshot"], False, None),
        ([], False, r"another QEMU writes to it \(qemu-system-i386 \d+\)"),
        (["--snapshot"], True, "another QEMU reads it"),
        ([], True, "another QEMU writes to it"),
    ],
)
def test_an_image_is_in_use_when_qemu_itself_says_so(
    disk: Path, others: list[str], is_written: bool, said: str | None
) -> None:
    with qemu(*drive(disk), *others) as first:
        assert has_its_images(first)
        with qemu(*drive(disk), *([] if is_written else ["--snapshot"])) as second:
            assert has_its_images(second) == (said is None), "what QEMU says of it"
        if said is None:
            demand_fit(disk, ROOT, is_written=is_written)
        else:
            with pytest.raises(UnfitImageError, match=said):
                demand_fit(disk, ROOT, is_written=is_written)
        assert (first.pid, "qemu-system-i386") in users_of(disk)
    demand_fit(disk, ROOT, is_written=True)


def test_an_account_that_may_not_read_it_is_named(disk: Path) -> None:
    disk.chmod(0o640)
    with pytest.raises(UnfitImageError, match="nobody, who runs QEMU, may not read it; see namei"):
        demand_fit(disk, NOBODY, is_written=False)
    disk.chmod(0o644)
    demand_fit(disk, NOBODY, is_written=False)
    with pytest.raises(UnfitImageError, match="may not read and write it"):
        demand_fit(disk, NOBODY, is_written=True)


def test_facts_are_what_qemu_img_says_and_it_may_be_in_use(disk: Path) -> None:
    layer = disk.with_name("layer.qcow2")
    qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", str(disk), str(layer))
    facts = facts_of(layer, NOBODY)
    assert (facts.image_format, facts.virtual_bytes) == ("qcow2", 4 << 20)
    assert facts.backing == str(disk)
    with qemu(*drive(disk)) as running:
        assert has_its_images(running)
        facts = facts_of(disk, ROOT)
    assert (facts.image_format, facts.backing) == ("raw", None)
    assert facts.disk_bytes < 1 << 20


def test_what_is_no_image_or_no_qemu_img_is_told(disk: Path) -> None:
    disk.write_bytes(b"QFI\xfb" + bytes(600))
    with pytest.raises(UnfitImageError, match="cannot tell what"):
        facts_of(disk, ROOT)
    with pytest.raises(UnfitImageError, match="qemu-img-none: no such file"):
        facts_of(disk, ROOT, "qemu-img-none")


def done(settings: Settings, *, is_again: bool = False, lines: list[str] | None = None) -> str:
    heard = [] if lines is None else lines
    return see_to(Work(settings, Report(OwnNotify(""), log=heard.append), is_again))


def test_what_a_guest_writes_is_kept_beside_an_image_that_stays_as_it_was(
    disk: Path, place: Path
) -> None:
    with image_server(disk.read_bytes()) as server:
        url = f"{server.url}/hurd.img"
        settings = Settings(
            "hurd", str(place / "images"), url, server.checksum, is_stateful=True, user="nobody"
        )
        assert "the guest's writes go to" in done(settings)
        state = Path(image_of(settings))
        owner = state.stat()
        assert (owner.st_uid, owner.st_mode & 0o777) == (NOBODY.uid, 0o600)
        base = Path(str(facts_of(state, NOBODY).backing))
        before = base.read_bytes()
        subprocess.run(
            ["qemu-io", "-c", "write -P 7 1M 64k", str(state)], check=True, capture_output=True
        )
        state.chmod(0o600)
        assert base.read_bytes() == before
        assert "goes on with what it has written" in done(settings)
        read = ["qemu-io", "-c", "read -P 7 1M 64k", str(state)]
        assert b"failed" not in subprocess.run(read, check=True, capture_output=True).stdout
        lines: list[str] = []
        done(replace(settings, checksum=f"sha256:{'0' * 64}"), lines=lines)
        assert "the image is another one by now" in lines[0]
        with pytest.raises(ImageError, match=f"to begin anew, remove {state}"):
            done(settings, is_again=True)
        assert len(server.asked) == 1


TMPFS = """
mount -t tmpfs -o size=1m,mode=755 none "$1" && shift && exec "$@"
"""
PROGRAM = ("-m", "virtsupd.machine.image_program")


INCOMPRESSIBLE = os.urandom(510) + b"\x55\xaa" + os.urandom(3 << 20)


@pytest.mark.parametrize(
    ("content", "name", "is_known", "said"),
    [
        (INCOMPRESSIBLE, "h.img", True, "it takes 3.0 MiB, and"),
        (INCOMPRESSIBLE, "h.img", False, "is full; make room; the "),
        (
            gzip.compress(b"\x01" * (9 << 20)),
            "h.img.gz",
            True,
            "cannot unpack .* is full; make room",
        ),
    ],
    ids=["length told", "length not told", "compressed"],
)
def test_a_full_disk_ends_a_fetch_with_what_to_do(
    place: Path, content: bytes, name: str, is_known: bool, said: str
) -> None:
    """In a mount namespace of its own, where the directory of images has one mebibyte."""
    images = place / "images"
    images.mkdir()
    with image_server(content) as server:
        server.tells_length = is_known
        settings = Settings("hurd", str(images), f"{server.url}/{name}", server.checksum)
        file = place / "settings"
        file.write_text(settings.text)
        inside = ["sh", "-c", TMPFS, "sh", str(images), sys.executable, *PROGRAM, str(file)]
        ended = subprocess.run(
            ["unshare", "--mount", *inside], capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1, ended.stderr
    last = ended.stdout.splitlines()[-1]
    assert re.search(said, last), last
    assert list(images.iterdir()) == []
