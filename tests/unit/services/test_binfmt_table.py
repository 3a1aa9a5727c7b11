"""The action table of qemu-binfmt, on a directory that stands for the kernel's table."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.binfmt_settings import plain_table, settings_file

from virtsupd.binfmt.entries import Entry, Instance
from virtsupd.services.binfmt_table import NOBODY_KNOWN, OURS, main, rows, table

USAGE = 64


def entries(tmp_path: Path) -> list[Entry]:
    instance = Instance(Path(plain_table(tmp_path / "table", "arm", "aarch64")))
    found = [instance.entry("qemu-arm"), instance.entry("qemu-aarch64")]
    return [entry for entry in found if entry is not None]


def test_each_entry_is_said_with_whose_it_is(tmp_path: Path) -> None:
    arm, aarch64 = entries(tmp_path)
    third, fourth = (replace(arm, name=name, is_enabled=False) for name in ("x", "y"))
    files = {
        "qemu-aarch64": (("/a.conf", "/other"), ("/b.conf", aarch64.interpreter)),
        "x": (("/a.conf", "/other"),),
    }
    found = rows([arm, aarch64, third, fourth], lambda entry: entry is arm, files)
    assert [row.by for row in found] == [
        OURS,
        "/b.conf",
        f"{NOBODY_KNOWN}, not as /a.conf has it",
        NOBODY_KNOWN,
    ]
    assert [row.platforms for row in found[:2]] == [("arm",), ("aarch64",)]


def test_lines_for_people_say_what_is_off_and_what_is_hidden(tmp_path: Path) -> None:
    arm, aarch64 = entries(tmp_path)
    wide = replace(aarch64, name="wide", magic=b"\x7fELF", mask=b"\xff" * 4, is_enabled=False)
    jar = replace(arm, name="jar", magic=b"", mask=b"", extension="jar", flags="")
    text = table(
        rows([jar, wide, arm, replace(arm, name="late")], lambda _: False, {}), "/t", is_on=True
    )
    lines = [line.split("  ") for line in text.splitlines()]
    shown = [[cell.strip() for cell in line if cell.strip()][:4] for line in lines]
    assert shown == [
        ["NAME", "STATE", "PLATFORM", "FLAGS"],
        ["jar", "on", "files named *.jar", "-"],
        ["wide", "off", "34 platforms", "PF"],
        ["qemu-arm", "on", "arm", "PF"],
        ["late", "on, hidden by qemu-arm", "arm", "PF"],
    ]


def test_an_entry_that_is_not_understood_is_shown_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = plain_table(tmp_path / "table", "arm", "aarch64")
    arm = Path(directory) / "qemu-arm"
    arm.write_bytes(arm.read_bytes().replace(b"magic 7f", b"magic zz") + b"\xff\n")
    assert main([settings_file(tmp_path, "arm", table=directory)]) == 0
    [line] = [one for one in capsys.readouterr().out.splitlines() if one.startswith("qemu-arm ")]
    assert "unknown (magic zz454c46" in line
    assert NOBODY_KNOWN in line


def test_a_table_that_is_switched_off_or_empty_says_so() -> None:
    assert table((), "/t", is_on=True) == "binfmt_misc has no entries"
    assert "switched off as a whole" in table((), "/t", is_on=False).splitlines()[0]
    assert "echo 1 >/t/status" in table((), "/t", is_on=False)


def test_programs_get_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = settings_file(tmp_path, table=plain_table(tmp_path / "table", "arm", is_on=False))
    assert main([file, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    [row] = said["entries"]
    assert said["is_on"] is False
    assert (row["name"], row["is_enabled"], row["platforms"]) == ("qemu-arm", True, ["arm"])
    assert bytes.fromhex(row["magic"]).startswith(b"\x7fELF")


def test_where_nothing_is_mounted_the_next_step_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([settings_file(tmp_path, table=str(tmp_path))]) == 1
    assert capsys.readouterr().err == (
        "cannot list the entries of binfmt_misc: binfmt_misc is not mounted at "
        f"{tmp_path}: virtsupctl start qemu-binfmt\n"
    )


def test_words_that_it_does_not_take_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([settings_file(tmp_path), "--jsn"]) == USAGE
    assert "see virtsupctl table qemu-binfmt --help" in capsys.readouterr().err
