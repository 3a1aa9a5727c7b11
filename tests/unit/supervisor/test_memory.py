"""What outlives virtsupd: enabled for ever, wanted for one boot."""

import json
from pathlib import Path

import pytest

from virtsupd.core.engine import Remembered
from virtsupd.core.names import Name
from virtsupd.supervisor.memory import Memory, StateFileError

WEB, APP = Name("web"), Name("app")


def test_nothing_is_remembered_at_first(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path)
    assert memory.remembered() == {}
    memory.flush()
    assert not (tmp_path / "services.json").exists()


def test_what_was_noted_is_known_to_the_next(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path)
    memory.note(WEB, wanted=False, enabled=True)
    memory.note(APP, wanted=True, enabled=False)
    assert Memory.load(tmp_path).remembered() == {}
    memory.flush()
    for name in ("services.json", "wanted.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert Memory.load(tmp_path).remembered() == {
        WEB: Remembered(wanted=False, enabled=True),
        APP: Remembered(wanted=True, enabled=False),
    }


def test_after_a_shutdown_only_what_is_disabled_is_kept(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path)
    memory.note(WEB, wanted=False, enabled=True)
    memory.note(APP, wanted=True, enabled=False)
    memory.forget_wanted()
    memory.flush()
    assert Memory.load(tmp_path).remembered() == {APP: Remembered(wanted=None, enabled=False)}
    assert not (tmp_path / "wanted.json").exists()


def test_what_is_wanted_does_not_touch_what_is_kept_for_ever(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path)
    memory.note(WEB, wanted=True, enabled=True)
    memory.flush()
    assert not (tmp_path / "services.json").exists()
    memory.note(WEB, wanted=True, enabled=False)
    memory.flush()
    kept = (tmp_path / "services.json").stat().st_ino
    memory.note(WEB, wanted=False, enabled=False)
    memory.flush()
    assert (tmp_path / "services.json").stat().st_ino == kept
    memory.note(WEB, wanted=False, enabled=True)
    memory.flush()
    assert Memory.load(tmp_path).remembered() == {WEB: Remembered(wanted=False, enabled=True)}


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1, "services": {"web": 1}}', "\x00"])
def test_what_a_loss_of_power_made_of_it_is_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / "wanted.json").write_text(text)
    assert Memory.load(tmp_path).remembered() == {}


def test_another_boot_forgets_what_was_wanted(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path)
    memory.note(WEB, wanted=False, enabled=False)
    memory.flush()
    path = tmp_path / "wanted.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"boot_id": "another"}))
    assert Memory.load(tmp_path).remembered() == {WEB: Remembered(wanted=None, enabled=False)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2}',
        '{"version": 1, "services": []}',
        '{"version": 1, "services": {"web": {}}}',
        '{"version": 1, "services": {"web": {"enabled": "no"}}}',
        "\x00" * 20,
    ],
)
def test_a_file_that_virtsupd_did_not_write_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "services.json").write_text(text)
    with pytest.raises(StateFileError, match="move it away"):
        Memory.load(tmp_path)


def test_a_failed_write_may_be_tried_again(tmp_path: Path) -> None:
    state = tmp_path / "state"
    memory = Memory.load(state)
    memory.note(WEB, wanted=True, enabled=True)
    with pytest.raises(FileNotFoundError):
        memory.flush()
    state.mkdir()
    memory.flush()
    assert WEB in Memory.load(state).remembered()
