"""Whoever is killed while he writes Ganeti's files, at whatever point, the next run makes it good."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.ganeti import Etc, tree_of

from virtsupd.ganeti import GanetiOs, GanetiOsVariant
from virtsupd.ganeti.configure import configure, take_away

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

CHANGES = {"os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.chmod"}
OLD = GanetiOs("custom", ".conf", (GanetiOsVariant("a", "old"), GanetiOsVariant("b", "gone")))
NEW = GanetiOs("custom", ".conf", (GanetiOsVariant("a", "new"), GanetiOsVariant("c", "more")))
PACKAGED = "instance-custom/variants.list"
FOREIGN = "instance-custom/variants/theirs.conf"
ENOUGH = 200
"""More changes than any run makes."""


def killed_at(count: int, work: Callable[[], object]) -> bool:
    """Do it in a child that is killed just before its change number `count`; return whether it was."""
    child = os.fork()
    if child == 0:
        left = count

        def heard(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & 3
            if event in CHANGES or is_write:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(heard)
        try:
            work()
        except BaseException:  # noqa: BLE001 - of a child that must not go on as pytest
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"the child failed before it was killed: {status}"
    return status == signal.SIGKILL


def before(root: Path) -> Etc:
    """Return a host on which a package and an administrator have files."""
    etc = Etc(root)
    root.mkdir()
    etc.put(PACKAGED, "default\n", is_packaged=True)
    etc.put(FOREIGN, "theirs")
    return etc


def expected(root: Path) -> dict[str, tuple[int, str]]:
    etc = before(root)
    etc.configure(NEW, paths=("/srv/a",))
    return tree_of(etc.ganeti)


def at_each_point(tmp_path: Path, work: Callable[[Etc], object]) -> list[Etc]:
    """Return a host for each point at which the work can be killed."""
    hosts: list[Etc] = []
    for count in range(1, ENOUGH):
        etc = before(tmp_path / str(count))
        etc.configure(OLD)
        if not killed_at(count, lambda etc=etc: work(etc)):  # type: ignore[misc]  # a lambda's default
            return hosts
        hosts.append(etc)
    raise AssertionError("it never came to its end")


def change(etc: Etc) -> None:
    list(configure(etc.settings(NEW, paths=("/srv/a",))))


def test_a_change_is_finished_by_the_next_run(tmp_path: Path) -> None:
    wanted = expected(tmp_path / "wanted")
    for etc in at_each_point(tmp_path, change):
        change(etc)
        assert tree_of(etc.ganeti) == wanted, etc.root.name


def test_a_change_that_is_given_up_leaves_nothing_of_it(tmp_path: Path) -> None:
    hosts = at_each_point(tmp_path, change)
    assert len(hosts) > 20
    untouched = tree_of(before(tmp_path / "untouched").ganeti)
    for etc in hosts:
        etc.configure(OLD)
        assert etc.remove() == [], etc.root.name
        assert tree_of(etc.ganeti) == untouched, etc.root.name


def test_a_first_run_that_is_killed_can_be_taken_back(tmp_path: Path) -> None:
    untouched = tree_of(before(tmp_path / "untouched").ganeti)
    for count in range(1, ENOUGH):
        etc = before(tmp_path / str(count))
        was_killed = killed_at(count, lambda etc=etc: change(etc))  # type: ignore[misc]  # as above
        assert etc.remove() == [], count
        assert tree_of(etc.ganeti) == untouched, count
        if not was_killed:
            assert count > 20
            return


def test_a_removal_is_finished_by_the_next_run(tmp_path: Path) -> None:
    untouched = tree_of(before(tmp_path / "untouched").ganeti)
    for etc in at_each_point(tmp_path, lambda etc: list(take_away(etc.record))):
        assert etc.remove() == [], etc.root.name
        assert tree_of(etc.ganeti) == untouched, etc.root.name
        assert not etc.record.exists()
