"""The action explain of qemu-binfmt, on a directory that stands for the kernel's table."""

import json
import os
from pathlib import Path

import pytest
from tests.support.binfmt_settings import plain_table, settings_file
from tests.support.elf import executable, native

from virtsupd.binfmt.platforms import host_family
from virtsupd.binfmt.proof import program
from virtsupd.services.binfmt_explain import main

USAGE = 64

pytestmark = pytest.mark.skipif(
    host_family(os.uname().machine) in {"arm", "s390x"}, reason="its programs are foreign here"
)


@pytest.fixture
def file(tmp_path: Path) -> str:
    table = plain_table(tmp_path / "table", "arm")
    (tmp_path / "table/off").write_text("disabled\ninterpreter /x\nflags: \nextension .bin\n")
    return settings_file(tmp_path, "arm", table=table)


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(list(words)) == code
    output = capsys.readouterr()
    return output.err if code else output.out


def test_the_entry_and_its_interpreter_are_said(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = executable(tmp_path / "x.bin", program("arm"))
    assert said(capsys, file, str(path)) == (
        f"{path}: ELF, 32-bit little-endian ARM, System V, a program\n"
        "  is run by the entry qemu-arm: /usr/bin/qemu-arm-static (flags PF)\n"
        "  entries that it also fits: off (off)\n"
    )


def test_what_keeps_it_from_running_follows(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, file, str(executable(tmp_path / "x", program("arm"), 0o600)))
    assert "\n  but it is not executable: chmod +x" in text
    assert "\n  note: who may not read it" in text
    text = said(capsys, file, str(executable(tmp_path / "y", program("s390x"))))
    assert '\n  does not run\n  no entry fits it: add "s390x" to platforms' in text


def test_a_script_is_followed(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = executable(tmp_path / "arm", program("arm"))
    text = said(capsys, file, str(executable(tmp_path / "script", f"#!{path}\n".encode())))
    assert f"is run by the program that its first line names: {path}\n{path}: ELF" in text


def test_the_kernels_own_kind_needs_no_entry(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, file, str(executable(tmp_path / "own", native())))
    assert "is run by the kernel itself" in text


def test_programs_get_json_also_of_what_a_script_names(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = executable(tmp_path / "arm.bin", program("arm"))
    script = executable(tmp_path / "script", f"#!{path}\n".encode())
    facts = json.loads(said(capsys, file, "--json", str(script)))
    assert (facts["runs"], facts["by"], facts["interpreter"]) == (True, "kernel", str(path))
    assert facts["then"]["by"] == "qemu-arm"
    assert sorted(facts["then"]["matching"], key=lambda one: str(one["entry"])) == [
        {"entry": "off", "is_enabled": False},
        {"entry": "qemu-arm", "is_enabled": True},
    ]
    assert facts["then"]["then"] is None


def test_another_root_is_looked_into(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    executable(tmp_path / "root/arm", program("arm"))
    assert said(capsys, file, "--root", str(tmp_path / "root"), "/arm").startswith("/arm: ELF")
    error = said(capsys, file, "--root", str(tmp_path / "none"), "/arm", code=1)
    assert error == f"cannot explain a program: {tmp_path}/none: no such file or directory\n"


@pytest.mark.parametrize("words", [("arm",), ("/arm", "--root", "root")])
def test_a_path_of_the_askers_directory_is_refused_with_a_hint(
    file: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    error = said(capsys, file, *words, code=USAGE)
    assert "is no absolute path" in error
    assert f'"$(realpath {words[-1]})"' in error


def test_what_could_move_the_cursor_is_written_as_an_escape(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = executable(tmp_path / "x\x1b[2J", b"#!/\x1b[2J\xff\n")
    assert "\x1b" not in said(capsys, file, str(path))


def test_what_cannot_be_looked_at_is_named(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "a FIFO, not a file" in said(capsys, file, str(tmp_path / "fifo"), code=1)
    assert "no such file" in said(capsys, file, str(tmp_path / "absent"), code=1)
