"""The actions on a machine's image, as programs that whoever asks reads the output of."""

import hashlib
import json
import os
import pty
import pwd
from dataclasses import replace
from pathlib import Path

import pytest

from virtsupd.machine.image_settings import Settings
from virtsupd.services.machine_image import main

ME = pwd.getpwuid(os.geteuid()).pw_name
DISK = bytes(510) + b"\x55\xaa" + bytes(5000)
WRONG = f"sha256:{'0' * 64}"
NONE = "sha256:" + "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of an image that is a path, asked of no real qemu-img."""
    program = tmp_path / "qemu-img"
    answer = {"format": "raw", "virtual-size": 5512, "actual-size": 4096}
    program.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    program.chmod(0o755)
    image = tmp_path / "hurd.img"
    image.write_bytes(DISK)
    images = str(tmp_path / "images")
    return Settings("hurd", images, str(image), user=ME, qemu_img=str(program))


def asked(settings: Settings, action: str, *words: str) -> int:
    file = Path(settings.directory).with_name("settings")
    file.write_text(settings.text)
    return main([action, str(file), *words])


def test_info_tells_what_the_image_is(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(settings, "info") == 0
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    told = {key.strip(): value.strip() for key, value in lines.items()}
    assert told == {
        "from": settings.image,
        "path": settings.image,
        "format": "raw",
        "size": "5 KiB",
        "on disk": "4 KiB",
        "writes": "are lost at its end",
        "in use": "by nobody",
    }


def test_info_says_why_a_machine_could_not_be_started(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(str(settings.image)).write_bytes(b"garbage")
    assert asked(settings, "info", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert "does not begin with a boot sector" in found["fault"]
    url = replace(settings, image="https://x.example/h.img?key=hush", checksum=WRONG)
    assert asked(url, "info") == 0
    out = capsys.readouterr().out
    assert "not there yet; virtsupctl image-fetch hurd" in out
    assert WRONG in out
    assert "hush" not in out


def test_fetch_says_what_it_did(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    digits = hashlib.sha256(DISK).hexdigest()
    url = replace(settings, image=f"file://{settings.image}", checksum=f"sha256:{digits}")
    assert asked(url, "fetch") == 0
    assert capsys.readouterr().out.startswith(f"fetched file://{settings.image} to ")
    assert asked(url, "fetch") == 0
    assert "is there, and checked" in capsys.readouterr().out
    assert asked(url, "fetch", "--again") == 0
    assert capsys.readouterr().out.startswith("fetched ")
    assert asked(url, "info", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["fits"], found["fault"], found["checksum"]) == (True, None, url.checksum)
    assert asked(replace(url, checksum=NONE), "fetch") == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert digits in error


@pytest.mark.parametrize(
    ("action", "words", "code", "said"),
    [
        ("fetch", (), 1, "cannot fetch the image: hurd has image = /"),
        ("build", (), 1, "cannot build the image: hurd has image = /"),
        ("info", ("--colour",), os.EX_USAGE, "virtsupctl image-info hurd --help"),
        ("fetch", ("now",), 2, "virtsupctl image-fetch hurd --help"),
    ],
)
def test_what_does_not_go_is_said_in_one_line(
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    action: str,
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    assert asked(settings, action, *words) == code
    out, error = capsys.readouterr()
    assert out == ""
    assert said in error
    assert error.count("\n") == 1


def test_build_builds_although_nothing_has_changed(
    settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    guix = tmp_path / "guix"
    guix.write_text(f'#!/bin/sh\necho x >>"$0.runs"\necho {settings.image}\n')
    guix.chmod(0o755)
    system = tmp_path / "hurd.scm"
    system.write_text("(operating-system)")
    built = replace(settings, image=None, os=str(system), guix=str(guix))
    for _ in range(2):
        assert asked(built, "build") == 0
        assert capsys.readouterr().out == f"built {settings.image} of {system}\n"
    assert len((tmp_path / "guix.runs").read_text().splitlines()) == 2
    assert asked(built, "fetch") == 1
    assert f"hurd has os = {system}, and no URL" in capsys.readouterr().err


def test_at_a_terminal_it_is_shown_how_far_it_is(settings: Settings) -> None:
    digits = hashlib.sha256(DISK).hexdigest()
    url = replace(settings, image=f"file://{settings.image}", checksum=f"sha256:{digits}")
    ours, theirs = pty.openpty()
    kept = os.dup(2)
    os.dup2(theirs, 2)
    try:
        assert asked(url, "fetch") == 0
    finally:
        os.dup2(kept, 2)
        for descriptor in (kept, theirs):
            os.close(descriptor)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "fetching 5 KiB of 5 KiB" in shown or "fetching 5 of 5 KiB" in shown
