import json
import os
from pathlib import Path

import pytest

from virtsupd.binfmt.entries import Entry
from virtsupd.binfmt.ownership import RecordFile
from virtsupd.binfmt.platforms import lookup_qemu_platforms
from virtsupd.binfmt.settings import Settings
from virtsupd.services.binfmt_verify import Verdict, complaint, main, table, verdicts

OWN = os.uname().machine


def entry(name: str, interpreter: str, *, is_enabled: bool = True) -> Entry:
    [one] = lookup_qemu_platforms(name)
    return Entry(one.entry, (0, 0), is_enabled, interpreter, magic=one.magic, mask=one.mask)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "qemu-binfmt.conf"
    settings = Settings((OWN,), record=str(tmp_path / "record"), directory=str(tmp_path / "none"))
    path.write_text(settings.text)
    return str(path)


def test_the_interpreter_is_that_of_the_entry_which_the_kernel_takes() -> None:
    entries = [
        entry("arm", "/off", is_enabled=False),
        entry("s390x", "/other"),
        entry("arm", "/newest"),
        entry("arm", "/older"),
    ]
    platforms = lookup_qemu_platforms("arm", "riscv64")
    assert verdicts(platforms, {"arm": "", "riscv64": "why"}, entries) == [
        Verdict("arm", True, "", "/newest"),
        Verdict("riscv64", False, "why", None),
    ]


def test_people_see_a_line_for_each() -> None:
    found = [Verdict("arm", True, "", "/qemu"), Verdict("riscv64", False, "why", None)]
    lines = [line.split() for line in table(found).splitlines()[1:]]
    assert lines == [["arm", "ok", "/qemu"], ["riscv64", "FAILED", "-"]]


def test_what_failed_for_the_same_reason_is_said_once() -> None:
    found = [
        Verdict("arm", False, "none takes it", None),
        Verdict("s390x", True, "", "/qemu"),
        Verdict("sh4", False, "killed by SIGSEGV", "/qemu"),
        Verdict("alpha", False, "none takes it", None),
    ]
    assert complaint(found) == "arm, alpha: none takes it; sh4: killed by SIGSEGV"
    assert complaint(found[1:2]) == ""


def test_platforms_of_the_configuration_are_run(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([file]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [OWN, "ok", "-"]


def test_what_an_operator_has_taken_off_is_run_only_if_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, path = tmp_path / "record.json", tmp_path / "qemu-binfmt.conf"
    table = tmp_path / "table"
    table.mkdir()
    path.write_text(Settings((OWN,), record=str(record), directory=str(table)).text)
    file = RecordFile(record, table)
    with file.locked() as said:
        said.is_held = True
        said.taken_off.add(OWN)
        file.save(said)
    assert main([str(path)]) == 0
    assert capsys.readouterr().out == "no platforms\n"
    assert main([str(path), OWN]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [OWN, "ok", "-"]


def test_one_that_does_not_run_fails_and_is_named_last(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [file, OWN, "--root", "/no/such"]
    assert main(words) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split() == [OWN, "FAILED", "-"]
    reason = "cannot enter /no/such: it is not there"
    assert said.err == f"cannot run programs of all platforms: {OWN}: {reason}\n"
    assert main([*words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == {
        "is_ok": False,
        "platforms": [{"name": OWN, "is_ok": False, "reason": reason, "interpreter": None}],
    }


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["armhf"], "no platform is named 'armhf'"),
        (["--root", "x"], "--root x: has to begin with /"),
        (["--pid", "0"], "--pid 0: is not the number of a process"),
        (["--pid", "99999999999999999999"], "is not the number of a process"),
        (["--pid", "1", "--root", "/"], "not allowed with argument"),
    ],
)
def test_words_that_mean_nothing_are_refused(
    file: str, words: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([file, *words]) == os.EX_USAGE
    assert fault in capsys.readouterr().err


def test_no_platforms_are_nothing_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "qemu-binfmt.conf"
    path.write_text(Settings((), record=str(tmp_path / "record")).text)
    assert main([str(path)]) == 0
    assert capsys.readouterr().out == "no platforms\n"
