"""`reload` and SIGHUP apply the difference of a valid configuration and refuse an invalid one whole."""

import shutil

import pytest
from tests.support.daemon import Daemon, shell, virtsupd

pytestmark = pytest.mark.process

SLEEP = shell("exec sleep 1000")
OTHER = shell("exec sleep 2000")


def service(name: str, command: str = SLEEP, *keys: str) -> str:
    return "\n".join((f"[service.{name}]", f"command = {command}", *keys, ""))


@pytest.mark.parametrize("way", ["reload", "hangup"])
def test_the_difference_is_applied(way: str) -> None:
    with virtsupd(service("kept") + service("changed") + service("gone")) as daemon:
        kept, changed = daemon.pid("kept"), daemon.pid("changed")
        daemon.host.write(
            service("kept", SLEEP, 'description = "new words"')
            + service("changed", OTHER)
            + service("new")
        )
        if way == "reload":
            daemon.ctl("reload")
        else:
            daemon.signal("HUP")
            daemon.await_event("configuration reloaded")
        daemon.await_state("new", "running")
        daemon.await_event("service removed", service="gone")
        daemon.ctl("status", "gone", expect=4)
        assert daemon.pid("kept") == kept
        assert daemon.status("kept")["description"] == "new words"
        # What makes the process waits for its next start.
        found = daemon.status("changed")
        assert found["pid"] == changed
        assert found["replacement_pending"]
        daemon.ctl("restart", "changed")
        found = daemon.status("changed")
        assert not found["replacement_pending"]
        assert "2000" in found["command"][-1]


def test_the_answer_names_what_changed() -> None:
    with virtsupd(service("kept") + service("changed") + service("gone")) as daemon:
        daemon.host.write(service("kept") + service("changed", OTHER) + service("new"))
        answer = daemon.call("Reload")
        assert answer == {
            "added": ["new"],
            "changed": ["changed"],
            "pending": ["changed"],
            "removed": ["gone"],
        }


def test_a_bad_file_is_refused_whole() -> None:
    with virtsupd(service("kept")) as daemon:
        before = daemon.status("kept")
        daemon.host.write(service("new") + service("kept", SLEEP, "colour = 1"))
        refused = daemon.ctl("reload", expect=2)
        assert "service.kept.colour" in refused.stderr
        daemon.signal("HUP")
        [entry] = daemon.await_event("configuration refused")
        assert "service.kept.colour" in entry["problem"]
        assert daemon.status("kept") == before
        daemon.ctl("status", "new", expect=4)


def test_what_cannot_change_while_virtsupd_runs_is_refused() -> None:
    with virtsupd(service("kept")) as daemon:
        old = daemon.host.settings
        daemon.host.settings = old + 'log_format = "console"\n'
        daemon.host.write(service("kept") + service("new"))
        refused = daemon.ctl("reload", expect=2)
        assert "host.log_format: console instead of auto takes a restart" in refused.stderr
        daemon.ctl("status", "new", expect=4)
        daemon.host.settings = old
        daemon.host.write(service("kept"))
        daemon.ctl("reload")


def test_a_guest_is_not_ended_by_a_reload() -> None:
    with virtsupd(service("vm", SLEEP, "guest = true")) as daemon:
        pid = daemon.pid("vm")
        daemon.host.write("")
        refused = daemon.ctl("reload", expect=2)
        assert "would end a running guest" in refused.stderr
        assert daemon.pid("vm") == pid


def test_access_follows_a_reload() -> None:
    with virtsupd(service("kept")) as daemon:
        daemon.host.write(service("kept") + '[[access.rule]]\nrole = "viewer"\nuser = "nobody"\n')
        daemon.ctl("reload")
        assert isinstance(daemon, Daemon)
        assert daemon.state("kept") == "running"


def test_a_file_that_cannot_be_written_changes_nothing() -> None:
    with virtsupd("[virtlog]\nautostart = false\n" + service("kept")) as daemon:
        generated = daemon.host.run_dir / "generated"
        [path] = [path for path in generated.rglob("*") if path.is_file()]
        path.unlink()
        path.mkdir()
        (path / "x").touch()
        refused = daemon.ctl("reload", expect=2)
        assert f"cannot write {path}: Is a directory" in refused.stderr
        assert daemon.state("kept") == "running"
        shutil.rmtree(path)  # a shutdown would leave it: virtsupd did not make it
