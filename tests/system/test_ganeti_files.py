"""Ganeti's files under a real virtsupd: there with the service, and gone with it."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.checks import eventually
from tests.support.daemon import Daemon, Host, host
from tests.support.ganeti import Etc, tree_of

from virtsupd.ganeti import GanetiOs, GanetiOsVariant

pytestmark = pytest.mark.process

LIST = "instance-custom/variants.list"


def write(made: Host, etc: Etc, **texts: str) -> None:
    """Write the settings of a configuration, and a host file with the service that reads them."""
    variants = tuple(GanetiOsVariant(name, text) for name, text in texts.items())
    settings = etc.settings(GanetiOs("custom", ".conf", variants))
    file = made.root / "settings"
    file.write_text(settings.text)
    program = [sys.executable, "-I", "-m", "virtsupd.ganeti.configure"]
    made.write(
        "[service.ganeti-configuration]\none_shot = true\nready = 'exit'\n"
        f"command = {json.dumps([*program, str(file)])}\n"
        f"clean_up = {json.dumps([*program, '--remove', str(etc.record)])}\n"
    )


@contextmanager
def running() -> Iterator[tuple[Daemon, Etc]]:
    with host() as made:
        etc = Etc(made.root / "etc")
        etc.put(LIST, "default\n", is_packaged=True)
        write(made, etc, foo="a")
        with made.started() as daemon:
            daemon.await_status(
                "ganeti-configuration", lambda s: s["state"] == "running", "its end"
            )
            yield daemon, etc


def test_they_go_with_a_stop_and_a_package_has_its_own_back() -> None:
    with running() as (daemon, etc):
        assert (etc.ganeti / LIST).read_text() == "foo\n"
        assert daemon.ask("Stop", "ganeti-configuration")[0] == "done"
        assert tree_of(etc.ganeti) == {
            "instance-custom": (0o755, ""),
            LIST: (0o644, "default\n"),
        }


def test_they_follow_the_settings_over_a_restart_and_go_with_the_table() -> None:
    with running() as (daemon, etc):
        write(daemon.host, etc, bar="b")
        assert daemon.ask("Restart", "ganeti-configuration")[0] == "done"
        assert (etc.ganeti / "instance-custom/variants/bar.conf").read_text() == "b"
        assert not (etc.ganeti / "instance-custom/variants/foo.conf").exists()
        daemon.host.write("")
        daemon.ctl("reload")
        eventually(lambda: (etc.ganeti / LIST).read_text() == "default\n", "the package's own list")


def test_a_file_that_somebody_changed_is_left_and_the_stop_says_so() -> None:
    with running() as (daemon, etc):
        changed = etc.ganeti / "instance-custom/variants/foo.conf"
        changed.write_text("edited")
        status, text = daemon.ask("Stop", "ganeti-configuration")
        assert status == "failed"
        assert f"left {changed}, which somebody has changed" in text
        assert changed.read_text() == "edited"
        assert daemon.ask("Stop", "ganeti-configuration")[0] == "done"


def test_a_file_in_the_way_fails_the_start_with_its_name_and_is_as_it_was() -> None:
    with running() as (daemon, etc):
        theirs = etc.put("instance-custom/variants/bar.conf", "theirs")
        write(daemon.host, etc, bar="ours")
        assert daemon.ask("Restart", "ganeti-configuration")[0] == "failed"
        daemon.host.await_log("ganeti-configuration", f"{theirs} is there")
        assert theirs.read_text() == "theirs"
        assert (etc.ganeti / LIST).read_text() == "default\n"
