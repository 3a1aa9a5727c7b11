"""Seeing to an image: it is fetched once, checked when in doubt, and fit for QEMU at the end."""

import gzip
import hashlib
import os
import pwd
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.image_server import ImageServer, claiming, image_server, stalling

from virtsupd.errors import VirtsupdError
from virtsupd.machine.fetching import FetchError, WrongChecksumError
from virtsupd.machine.image import Work, image_of, see_to
from virtsupd.machine.image_facts import UnfitImageError
from virtsupd.machine.image_record import read_record
from virtsupd.machine.image_report import Report
from virtsupd.machine.image_settings import Settings
from virtsupd.machine.image_source import ImageError
from virtsupd.process.own_notify import OwnNotify

pytestmark = pytest.mark.process

DISK = os.urandom(510) + b"\x55\xaa" + os.urandom(300_000)
ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def server() -> Iterator[ImageServer]:
    with image_server(DISK) as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, server: ImageServer) -> Settings:
    return Settings(
        "childhurd",
        str(tmp_path / "images"),
        f"{server.url}/hurd.img",
        server.checksum,
        user=ME,
    )


def done(settings: Settings, *, is_again: bool = False, lines: list[str] | None = None) -> str:
    heard = [] if lines is None else lines
    report = Report(OwnNotify(""), log=heard.append)
    return see_to(Work(settings, report, is_again, now=lambda: 1e9))


def names(settings: Settings) -> set[str]:
    """Return what lies in the directory, but locks."""
    found = set(os.listdir(settings.directory))  # noqa: PTH208 - names are meant
    return {name for name in found if not name.endswith(".lock")}


def test_an_image_is_fetched_checked_and_not_asked_for_again(
    settings: Settings, server: ImageServer
) -> None:
    with pytest.raises(ImageError, match="not there yet; virtsupctl image-fetch childhurd"):
        image_of(settings)
    assert done(settings).startswith(f"fetched {server.url}/hurd.img to {settings.directory}/hurd-")
    path = Path(image_of(settings))
    assert path.read_bytes() == DISK
    assert path.stat().st_mode & 0o777 == 0o644, "QEMU's account reads it"
    assert names(settings) == {path.name, f"{path.name}.json"}
    record = read_record(path)
    assert record is not None
    assert (record.checksum, record.at) == (server.checksum, 1e9)
    inode = path.stat().st_ino
    assert "is there, and checked" in done(settings)
    assert (len(server.asked), path.stat().st_ino) == (1, inode)


def test_again_fetches_it_once_more(settings: Settings, server: ImageServer) -> None:
    done(settings)
    with Path(image_of(settings)).open("rb") as used:
        done(settings, is_again=True)
        assert used.read() == DISK, "who uses the old one keeps it"
    assert len(server.asked) == 2


def test_two_machines_with_one_image_share_it(settings: Settings, server: ImageServer) -> None:
    done(settings)
    other = replace(settings, machine="childhurd2", image=f"{server.url}/hurd.img?mirror=2")
    done(other)
    assert image_of(other) == image_of(settings)
    assert len(server.asked) == 1


def test_two_that_come_at_once_fetch_once(settings: Settings, server: ImageServer) -> None:
    server.acts.append(stalling(1000))
    said: list[str] = []
    threads = [
        threading.Thread(target=lambda: said.append(done(settings)), daemon=True) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    part = Path(settings.directory)
    eventually(lambda: [p for p in part.glob("*.part") if p.stat().st_size], "a beginning")
    server.released.set()
    for thread in threads:
        thread.join(10)
    assert sorted(text.split()[0] for text in said)[1] == "fetched"
    assert len([asked for asked in server.asked if asked[1] is None]) == 1


def test_a_copy_under_the_same_name_is_checked_before_it_is_used(
    settings: Settings, server: ImageServer
) -> None:
    done(settings)
    path = Path(image_of(settings))
    path.write_bytes(DISK)  # as after a restore of a backup
    done(settings)
    assert len(server.asked) == 1
    record = read_record(path)
    assert record is not None
    assert record.fits(path)


def test_an_image_that_has_changed_is_put_aside_and_fetched_anew(
    settings: Settings, server: ImageServer
) -> None:
    done(settings)
    path = Path(image_of(settings))
    path.write_bytes(DISK[:-1])
    lines: list[str] = []
    done(settings, lines=lines)
    assert path.read_bytes() == DISK
    assert path.with_name(f"{path.name}.rejected").read_bytes() == DISK[:-1]
    assert any("not what was fetched any more" in line for line in lines)


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_file_whose_record_is_lost_is_not_believed(
    settings: Settings, server: ImageServer, is_packed: bool
) -> None:
    if is_packed:
        settings = packed(settings, server)
    done(settings)
    path = Path(image_of(settings))
    path.with_name(f"{path.name}.json").unlink()
    done(settings)
    assert path.read_bytes() == DISK
    assert len(server.asked) == (2 if is_packed else 1)


def packed(settings: Settings, server: ImageServer) -> Settings:
    server.content = gzip.compress(DISK)
    return replace(settings, image=f"{server.url}/hurd.img.gz", checksum=server.checksum)


def test_a_compressed_image_is_unpacked_and_its_checksum_is_of_what_came(
    settings: Settings, server: ImageServer
) -> None:
    settings = packed(settings, server)
    done(settings)
    path = Path(image_of(settings))
    assert path.suffix == ".img"
    assert path.read_bytes() == DISK
    assert names(settings) == {path.name, f"{path.name}.json"}
    record = read_record(path)
    assert record is not None
    assert record.digest == f"sha256:{hashlib.sha256(DISK).hexdigest()}"
    path.write_bytes(DISK)
    done(settings)
    assert len(server.asked) == 1, "a copy is known by its own checksum"


def test_a_process_killed_between_checking_and_naming_costs_no_second_transfer(
    settings: Settings, server: ImageServer
) -> None:
    done(settings)
    path = Path(image_of(settings))
    path.rename(path.with_name(f"{path.name}.part"))
    done(settings)
    assert path.read_bytes() == DISK
    assert len(server.asked) == 1


def test_a_wrong_checksum_leaves_no_image(settings: Settings) -> None:
    wrong = replace(settings, checksum=f"sha256:{'0' * 64}")
    with pytest.raises(WrongChecksumError):
        done(wrong)
    with pytest.raises(ImageError, match="not there yet"):
        image_of(wrong)


def test_garbage_with_the_right_checksum_is_refused(
    settings: Settings, server: ImageServer
) -> None:
    server.content = b"<html>please log in</html>"
    with pytest.raises(UnfitImageError, match="page of the web"):
        done(replace(settings, checksum=server.checksum))


def test_a_directory_that_others_write_to_is_refused(settings: Settings) -> None:
    directory = Path(settings.directory)
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(VirtsupdError, match="others can write to it"):
        done(settings)
    directory.chmod(0o755)


def test_no_room_is_said_before_anything_comes(settings: Settings, server: ImageServer) -> None:
    server.acts.append(claiming(1 << 60))
    with pytest.raises(FetchError, match=r"takes 1099511627776 MiB, and .* has .*make room"):
        done(settings)
    assert len(server.asked) == 1


def test_an_image_that_is_a_path_is_taken_as_it_is(settings: Settings, tmp_path: Path) -> None:
    image = tmp_path / "hurd.img"
    image.write_bytes(DISK)
    given = replace(settings, image=str(image), checksum=None)
    assert done(given) == f"{image} is there"
    assert image_of(given) == str(image)
    assert not Path(settings.directory).exists()
    image.write_bytes(b"")
    with pytest.raises(UnfitImageError, match=f"{image}: it is empty"):
        image_of(given)


GUIX = """#!/bin/sh
for word; do case $word in --root=*) root=${word#--root=} ;; esac; done
echo x >>"$0.runs"
cp "$0.disk" "$0.store-$(wc -l <"$0.runs")"
ln -s "$0.store-$(wc -l <"$0.runs")" "$root"
readlink "$root"
"""


@pytest.fixture
def built(settings: Settings, tmp_path: Path) -> Settings:
    guix = tmp_path / "guix"
    guix.write_text(GUIX)
    guix.chmod(0o755)
    Path(f"{guix}.disk").write_bytes(DISK)
    system = tmp_path / "hurd.scm"
    system.write_text("(operating-system)")
    return replace(settings, image=None, checksum=None, os=str(system), guix=str(guix))


def runs(built: Settings) -> int:
    return len(Path(f"{built.guix}.runs").read_text())


def test_a_system_is_built_once_and_again_when_its_file_has_changed(built: Settings) -> None:
    assert done(built).startswith("built ")
    assert Path(image_of(built)).read_bytes() == DISK
    assert "is there, built of" in done(built)
    assert runs(built) == 2, "one line of two characters"
    Path(str(built.os)).write_text("(operating-system (host-name 5))")
    done(built)
    assert runs(built) == 4
    done(built, is_again=True)
    assert runs(built) == 6


def test_what_the_collector_took_is_built_anew(built: Settings) -> None:
    done(built)
    Path(image_of(built)).resolve().unlink()
    done(built)
    assert runs(built) == 4


def test_a_guest_that_keeps_its_writes_needs_nothing_that_the_image_was_made_of(
    built: Settings,
) -> None:
    program = Path(f"{built.guix}-qemu-img")
    program.write_text('#!/bin/sh\nfor last; do :; done\nprintf "QFI\\373" >"$last"\n')
    program.chmod(0o755)
    kept = replace(built, is_stateful=True, qemu_img=str(program))
    assert "the guest's writes go to" in done(kept)
    state = Path(image_of(kept))
    state.write_bytes(b"QFI\xfbwritten")
    Path(str(built.os)).unlink()
    assert f"goes on with what it has written, in {state}" in done(kept)
    assert state.read_bytes() == b"QFI\xfbwritten"
    assert runs(built) == 2
    with pytest.raises(ImageError, match="to begin anew, remove"):
        done(kept, is_again=True)
