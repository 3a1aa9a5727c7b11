"""The actions that put our daemon-util in its place and take it back."""

from pathlib import Path

import pytest

from virtsupd.ganeti.installing import is_installed
from virtsupd.ganeti.rendering import rendering
from virtsupd.services.ganeti_daemon_util import main

pytestmark = pytest.mark.process

GANETIS = "#!/bin/bash\nDAEMONS=(ganeti-noded)\n"


def test_it_is_installed_and_removed_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "daemon-util"
    path.write_text(GANETIS)
    words = ["--socket", "/run/s", "--ssh", "sshd", "--path", str(path)]
    assert [main(["install", *words]), main(["install", *words])] == [0, 0]
    assert is_installed(path, rendering("/run/s", "sshd"))
    assert main(["remove", *words]) == 0
    assert path.read_text() == GANETIS
    assert capsys.readouterr().out.splitlines() == [
        f"{path} is now virtsupd's",
        f"{path} was already virtsupd's",
        f"{path} is Ganeti's own",
    ]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["install"],
        ["upgrade", "--socket", "/s"],
        ["install", "--socket", "s"],
        ["remove", "--socket", "/s", "--path", "daemon-util"],
    ],
)
def test_other_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 64
    assert capsys.readouterr().err.startswith("cannot change Ganeti's daemon-util: ")


def test_what_cannot_be_replaced_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", "--socket", "/s", "--path", str(tmp_path / "daemon-util")]) == 1
    assert "is Ganeti installed?" in capsys.readouterr().err
