"""The build of the C extension: done where a compiler is, said in one line where not."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.process


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "build_extension", ROOT / "scripts/build_extension.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIRTSUPD_EXTENSION", raising=False)
    monkeypatch.delenv("CC", raising=False)


def test_what_is_built_can_be_imported(script: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / script.FILE_NAME
    assert script.build(ROOT, target) is None
    spec = importlib.util.spec_from_file_location("_spawn", target)
    assert spec is not None
    assert spec.loader is not None
    assert importlib.util.module_from_spec(spec).is_supported()
    assert list(tmp_path.iterdir()) == [target]


def test_the_keeper_of_statuses_is_built_beside_it(script: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / script.PROGRAM_NAME
    assert script.build_program(ROOT, target) is None
    without_a_child = subprocess.run([target], check=False)
    assert without_a_child.returncode == 1
    assert list(tmp_path.iterdir()) == [target]


def test_without_a_compiler_there_is_a_reason_and_no_file(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    why_not = script.build(ROOT, tmp_path / script.FILE_NAME)
    assert why_not == "no C compiler (cc, gcc or clang) was found"
    assert list(tmp_path.iterdir()) == []


def test_a_compiler_that_fails_leaves_no_file(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "cc -Wno-such-thing -no-such-option")
    assert "cc failed: " in script.build(ROOT, tmp_path / script.FILE_NAME)
    assert list(tmp_path.iterdir()) == []


def test_it_can_be_left_out(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTSUPD_EXTENSION", "skip")
    assert script.build(ROOT, tmp_path / script.FILE_NAME) == "VIRTSUPD_EXTENSION=skip"


def test_where_it_is_required_its_absence_ends_the_build(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script.announce("no C compiler")
    assert capsys.readouterr().err == (
        "virtsupd is built without its C extension: no C compiler. "
        "It works, but starts services slower.\n"
    )
    monkeypatch.setenv("VIRTSUPD_EXTENSION", "require")
    with pytest.raises(SystemExit):
        script.announce("no C compiler")


def test_the_extension_of_this_checkout_belongs_to_this_python(script: ModuleType) -> None:
    built = ROOT / script.SOURCE.with_name(script.FILE_NAME)
    assert built.exists(), f"run {sys.executable} scripts/build_extension.py first"
