"""What outlives virtsupd: enabled for ever, wanted for one boot."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from virtsupd.core.effects import Remember
from virtsupd.core.engine import Remembered
from virtsupd.core.events import Instant
from virtsupd.core.host_scope import Phase, ShutdownOrder
from virtsupd.core.jobs import Firings
from virtsupd.core.names import Name
from virtsupd.process.store import StateDirectory
from virtsupd.supervisor.memory import Memory, StateFileError

WEB, APP = Name("web"), Name("app")


def told(name: Name, *, wanted: bool, enabled: bool) -> Remember:
    return Remember(name, wanted=wanted, enabled=enabled)


def test_nothing_is_remembered_at_first(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path)
    assert memory.remembered() == {}
    memory.flush()
    assert not (tmp_path / "services.json").exists()


def test_what_was_noted_is_known_to_the_next(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path)
    memory.note(told(WEB, wanted=False, enabled=True))
    memory.note(told(APP, wanted=True, enabled=False))
    assert Memory.load(tmp_path).remembered() == {}
    memory.flush()
    for name in ("services.json", "wanted.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert Memory.load(tmp_path).remembered() == {
        WEB: Remembered(wanted=False, enabled=True),
        APP: Remembered(wanted=True, enabled=False),
    }


def test_by_whom_and_since_when_is_known_to_the_next(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path)
    memory.note(Remember(WEB, wanted=False, enabled=True, by="root", since=12.5))
    memory.flush()
    kept = Remembered(wanted=False, enabled=True, by="root", since=12.5)
    assert Memory.load(tmp_path).remembered() == {WEB: kept}
    memory.note(Remember(WEB, wanted=False, enabled=True, by="ann", since=13.5))
    memory.flush()
    assert Memory.load(tmp_path).remembered()[WEB].by == "ann"


def test_a_file_without_by_whom_is_read(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path)
    memory.note(Remember(WEB, wanted=False, enabled=True, by="root", since=12.5))
    memory.flush()
    path = tmp_path / "wanted.json"
    content = json.loads(path.read_text())
    del content["by"]
    path.write_text(json.dumps(content))
    assert Memory.load(tmp_path).remembered() == {WEB: Remembered(wanted=False, enabled=True)}


ORDER = ShutdownOrder(
    "root", 7.5, Instant(100.25, 200.5), is_overdue=True, left=("guest a of virt: no ACPI",)
)


def test_a_shutdown_is_known_to_the_next_until_it_is_over(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path)
    assert memory.shutdown_order() is None
    memory.note_shutdown(ORDER)
    memory.flush()
    assert Memory.load(tmp_path).shutdown_order() == ORDER
    later = replace(ORDER, phase=Phase.SERVICES)
    memory.note_shutdown(later)
    memory.flush()
    assert Memory.load(tmp_path).shutdown_order() == later
    memory.forget_wanted()
    memory.flush()
    assert Memory.load(tmp_path).shutdown_order() is None
    assert not (tmp_path / "wanted.json").exists()


def test_a_shutdown_of_another_life_of_a_container_is_none_of_this_one(tmp_path: Path) -> None:
    files = StateDirectory(tmp_path)
    memory = Memory.read(files, "boot", life="first")
    memory.note(Remember(WEB, wanted=False, enabled=True))
    memory.note_shutdown(ORDER)
    memory.flush()
    second = Memory.read(files, "boot", life="second")
    assert second.shutdown_order() is None
    assert WEB in second.remembered()


def test_after_a_shutdown_only_what_is_disabled_is_kept(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path)
    memory.note(told(WEB, wanted=False, enabled=True))
    memory.note(told(APP, wanted=True, enabled=False))
    memory.forget_wanted()
    memory.flush()
    assert Memory.load(tmp_path).remembered() == {APP: Remembered(wanted=None, enabled=False)}
    assert not (tmp_path / "wanted.json").exists()


def test_what_is_wanted_does_not_touch_what_is_kept_for_ever(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path)
    memory.note(told(WEB, wanted=True, enabled=True))
    memory.flush()
    assert not (tmp_path / "services.json").exists()
    memory.note(told(WEB, wanted=True, enabled=False))
    memory.flush()
    kept = (tmp_path / "services.json").stat().st_ino
    memory.note(told(WEB, wanted=False, enabled=False))
    memory.flush()
    assert (tmp_path / "services.json").stat().st_ino == kept
    memory.note(told(WEB, wanted=False, enabled=True))
    memory.flush()
    assert Memory.load(tmp_path).remembered() == {WEB: Remembered(wanted=False, enabled=True)}


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1, "services": {"web": 1}}', "\x00"])
def test_what_a_loss_of_power_made_of_it_is_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / "wanted.json").write_text(text)
    assert Memory.load(tmp_path).remembered() == {}


def test_another_boot_forgets_what_was_wanted(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path)
    memory.note(told(WEB, wanted=False, enabled=False))
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
    memory.note(told(WEB, wanted=True, enabled=True))
    with pytest.raises(FileNotFoundError):
        memory.flush()
    state.mkdir()
    memory.flush()
    assert WEB in Memory.load(state).remembered()


@pytest.mark.parametrize(
    "firings",
    [
        Firings(1000.5, "calendar 02:30"),
        Firings(1000.5, "calendar 02:30", 2000.5),
        Firings(1000.5, "calendar 02:30", None, 900.5, 90000.5),
        Firings(None, "", math.inf),
    ],
)
def test_what_is_settled_of_a_timer_outlives_the_boot(tmp_path: Path, firings: Firings) -> None:
    memory = Memory.load(tmp_path)
    memory.note_firings(WEB, firings)
    memory.forget_wanted()
    memory.flush()
    found = Memory.read(StateDirectory(tmp_path), "another boot").remembered()
    assert found == {WEB: Remembered(wanted=None, enabled=True, firings=firings)}
    assert (tmp_path / "timers.json").stat().st_mode & 0o777 == 0o600


def test_a_timer_that_is_gone_is_not_written(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path)
    memory.note_firings(WEB, Firings(1.0, "x"))
    memory.note_firings(WEB, Firings())
    memory.flush()
    assert json.loads((tmp_path / "timers.json").read_text())["services"] == {}


@pytest.mark.parametrize(
    "entry",
    [
        '{"seen": NaN, "of": "", "held_until": null}',
        '{"seen": 1, "of": "", "held_until": Infinity}',
        '{"seen": []}',
        "7",
    ],
)
def test_a_broken_file_of_timers_is_logged_and_costs_nothing_else(
    tmp_path: Path, entry: str
) -> None:
    memory = Memory.load(tmp_path)
    memory.note(told(APP, wanted=True, enabled=True))
    memory.flush()
    (tmp_path / "timers.json").write_text(f'{{"version": 1, "services": {{"web": {entry}}}}}')
    with capture_logs() as logs:
        found = Memory.load(tmp_path).remembered()
    assert [line["event"] for line in logs] == ["what timers have missed is not known"]
    assert found[APP].wanted is True
    assert found.get(WEB, Remembered(None, enabled=True)) == Remembered(None, enabled=True)


def test_what_is_held_is_forced_to_the_disk_and_a_firing_is_not(tmp_path: Path) -> None:
    files = Noting(tmp_path)
    memory = Memory.read(files, "boot")
    for firings in (Firings(1.0, "x"), Firings(1.0, "x", math.inf), Firings(2.0, "x", math.inf)):
        memory.note_firings(WEB, firings)
        memory.flush()
    memory.note_firings(WEB, Firings(2.0, "x"))
    memory.flush()
    assert files.lasting == [False, True, False, True]


class Noting(StateDirectory):
    """Notes which writes are to outlive a loss of power."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.lasting: list[bool] = []

    def write(self, name: str, content: bytes, *, is_lasting: bool) -> None:
        self.lasting.append(is_lasting)
        super().write(name, content, is_lasting=is_lasting)
