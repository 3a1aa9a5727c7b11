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
        assert [(step["name"], step["fate"]) for step in answer["steps"]] == [
            ("gone", "stopped"),
            ("new", "started"),
            ("changed", "pending"),
            ("kept", "unchanged"),
        ]


def snapshot_of_files(daemon: Daemon) -> dict[str, tuple[int, int, bytes]]:
    """Return all that a reload could write, with inode and time; what services write is left out."""
    root = daemon.host.root
    files = [path for part in ("run/generated", "state") for path in (root / part).rglob("*")]
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in files
        if path.is_file()
    }


def test_a_plan_changes_nothing_and_the_reload_says_the_same() -> None:
    tables = "[virtlog]\nautostart = false\n[libvirt]\nautostart = false\n"
    before = tables + service("kept") + service("changed") + service("gone")
    with virtsupd(before) as daemon:
        files = snapshot_of_files(daemon)
        assert files
        services = daemon.call("Status", names=[])["services"]
        assert daemon.ctl("plan").stdout == "a reload would change nothing\n"
        more = f'tcp_port = "16510"\nunix_sock_dir = "{daemon.host.root}/sockets"\n'
        daemon.host.write(
            tables.replace("[libvirt]\n", f"[libvirt]\n{more}")
            + service("kept", SLEEP, "respawn = false")
            + service("changed", OTHER)
            + service("new")
        )
        planned = daemon.ctl("plan")
        assert snapshot_of_files(daemon) == files
        assert daemon.call("Status", names=[])["services"] == services
        only = daemon.ctl("plan", "kept").stdout
        done = daemon.ctl("reload")
        lines = planned.stdout.splitlines()
        assert lines[:2] == ["gone: is stopped, and is then forgotten", "new: is started"]
        assert "changed: runs on; in force at its next start: virtsupctl restart changed" in lines
        assert f"    command = {SLEEP} → {OTHER}" in lines
        assert '    libvirtd.conf: tcp_port = "16509" → "16510"' in lines
        assert only.splitlines() == [
            "kept: runs on; in force at once",
            "    respawn = (not set) → false",
        ]
        told = done.stdout.replace("is being", "is").replace("in force\n", "in force at once\n")
        assert told == planned.stdout


def test_a_reload_restarts_what_needs_it_if_it_is_to() -> None:
    with virtsupd(
        service("kept") + service("changed") + service("vm", SLEEP, "guest = true")
    ) as daemon:
        kept, vm = daemon.pid("kept"), daemon.pid("vm")
        text = service("kept") + service("changed", OTHER) + service("vm", OTHER, "guest = true")
        daemon.host.write(text)
        done = daemon.ctl("reload", "--restart")
        assert done.stdout.splitlines()[-1] == "changed is running"
        assert "2000" in daemon.status("changed")["command"][-1]
        assert not daemon.status("changed")["replacement_pending"]
        assert (daemon.pid("kept"), daemon.pid("vm")) == (kept, vm)
        assert daemon.status("vm")["replacement_pending"]
        assert "no guest ends" not in daemon.ctl("plan").stdout


def test_what_is_pending_is_known_to_a_successor() -> None:
    tables = "[virtlog]\nautostart = false\n"
    own = '[service.virtlogd]\ncommand = ["/bin/sleep", "1000"]\nready = "none"\nautostart = true\n'
    with virtsupd(tables + own) as daemon:
        daemon.ctl("start", "virtlogd")
        pid = daemon.pid("virtlogd")
        daemon.host.write(tables.replace("false", "false\nmax_clients = 7") + own)
        daemon.kill()
        with daemon.host.started() as successor:
            found = successor.status("virtlogd")
            assert (found["pid"], found["replacement_pending"]) == (pid, True)
            planned = successor.ctl("plan").stdout
            assert "virtlogd: runs on; in force at its next start" in planned


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
        assert f"cannot use {path}: is a directory" in refused.stderr
        assert daemon.state("kept") == "running"
        shutil.rmtree(path)  # a shutdown would leave it: virtsupd did not make it


def test_a_command_is_planned_and_not_carried_out() -> None:
    text = service("base") + service("front", SLEEP, 'requires = ["base"]')
    with virtsupd(text) as daemon:
        base = daemon.pid("base")
        planned = daemon.ctl("plan", "restart", "base").stdout.splitlines()
        assert planned == [
            "stops: base, front",
            "starts: base",
            "comes back with that: front",
            "no guest ends",
        ]
        assert daemon.pid("base") == base
