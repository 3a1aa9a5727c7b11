"""The one-shot of an image under a real virtsupd: progress in status, killed and gone on with."""

import json
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.daemon import host, shell, virtsupd
from tests.support.image_server import ImageServer, image_server, refusing, stalling

from virtsupd.machine.image_settings import Settings

pytestmark = pytest.mark.process

DISK = os.urandom(510) + b"\x55\xaa" + os.urandom(3_000_000)


@pytest.fixture
def server() -> Iterator[ImageServer]:
    with image_server(DISK) as running:
        yield running


def settings_file(directory: Path, server: ImageServer) -> Path:
    me = pwd.getpwuid(os.geteuid()).pw_name
    url = f"{server.url}/hurd.img"
    settings = Settings("hurd", str(directory / "images"), url, server.checksum, user=me)
    file = directory / "hurd-image.settings"
    file.write_text(settings.text)
    return file


def run(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "virtsupd.machine.image_program", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=15)


def test_it_ends_well_with_an_image_and_says_so(tmp_path: Path, server: ImageServer) -> None:
    ended = run(settings_file(tmp_path, server))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "fetched http://" in ended.stdout.splitlines()[-1]


def test_it_fails_with_the_reason_in_its_last_line(tmp_path: Path, server: ImageServer) -> None:
    server.acts.append(refusing(404))
    ended = run(settings_file(tmp_path, server))
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "the server says 404" in ended.stdout.splitlines()[-1]
    (tmp_path / "hurd-image.settings").unlink()
    ended = run(tmp_path / "hurd-image.settings")
    assert ended.returncode == 1
    assert "hurd-image.settings: no such file" in ended.stdout


def service(file: Path) -> str:
    command = json.dumps([sys.executable, "-m", "virtsupd.machine.image_program", str(file)])
    return (
        f"[service.hurd-image]\ncommand = {command}\none_shot = true\n"
        'ready = { kind = "exit", status = true }\n'
        f'[service.hurd]\ncommand = {shell("exec sleep 1000")}\nrequires = ["hurd-image"]\n'
    )


def test_a_machine_waits_for_its_image_and_status_says_how_far_it_is(
    tmp_path: Path, server: ImageServer
) -> None:
    server.acts.append(stalling(1_000_000))
    with virtsupd(service(settings_file(tmp_path, server))) as daemon:
        says = daemon.await_status(
            "hurd-image", lambda found: "fetching" in (found["status_text"] or ""), "progress"
        )
        assert " of 2.9 MiB" in says["status_text"]
        assert daemon.state("hurd") == "stopped"
        server.released.set()
        daemon.await_state("hurd", "running")
        done = daemon.status("hurd-image")
        assert done["status_text"].startswith("fetched http://")


@pytest.mark.parametrize("name", ["KILL", "TERM"])
def test_what_was_fetched_when_it_was_ended_is_not_fetched_again(
    tmp_path: Path, server: ImageServer, name: str
) -> None:
    server.acts.append(stalling(1_000_000))
    with virtsupd(service(settings_file(tmp_path, server))) as daemon:
        eventually(lambda: sizes(tmp_path) == [1_000_000], "a part of the image")
        if name == "KILL":
            os.kill(daemon.pid("hurd-image"), signal.SIGKILL)
            daemon.await_status("hurd-image", lambda found: found["failed"], "its failure")
        else:
            daemon.ask("Stop", "hurd-image")
            daemon.await_state("hurd-image", "stopped")
        server.released.set()
        daemon.ask("Start", "hurd")
        daemon.await_state("hurd", "running")
    assert [asked[1] for asked in server.asked] == [None, "bytes=1000000-"]


def test_a_fetch_outlives_virtsupd_and_its_successor_hears_it(
    tmp_path: Path, server: ImageServer
) -> None:
    server.acts.append(stalling(1_000_000))
    with host(service(settings_file(tmp_path, server))) as made:
        with made.started() as first:
            eventually(lambda: sizes(tmp_path) == [1_000_000], "a part of the image")
            pid = first.pid("hurd-image")
            first.kill()
        with made.started() as second:
            assert second.pid("hurd-image") == pid
            server.released.set()
            second.await_state("hurd", "running")
            assert len(server.asked) == 2, "it broke off once, and was not begun anew"


def sizes(directory: Path) -> list[int]:
    return [part.stat().st_size for part in directory.glob("images/*.part")]
