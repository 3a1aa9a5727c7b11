"""Health checks and the watchdog of a running service."""

import pytest
from tests.support.daemon import host, python, shell, virtsupd

pytestmark = pytest.mark.process


def test_a_failed_check_restarts_the_service() -> None:
    with host() as made:
        made.write(
            f"""
[service.web]
command = {shell("exec sleep 1000")}
health = {{ kind = "path", path = "{made.root}/well", interval = "20ms", failures = 2 }}
respawn = {{ delay = "1h", limit = 5, max_delay = "1h" }}
"""
        )
        (made.root / "well").touch()
        with made.started() as daemon:
            daemon.await_state("web", "running")
            (made.root / "well").unlink()
            found = daemon.await_status("web", lambda s: s["restarts"] == 1, "a restart")
            assert found["state"] == "stopped"
            assert found["reason"]["kind"] == "backing-off"


def test_a_failed_check_may_only_degrade_and_recovers() -> None:
    with host() as made:
        made.write(
            f"""
[service.web]
command = {shell("exec sleep 1000")}
health = {{ kind = "exec", command = ["/usr/bin/test", "-e", "{made.root}/well"], interval = "20ms", failures = 1, on_failure = "degrade" }}
"""
        )
        with made.started() as daemon:
            pid = daemon.pid("web")
            found = daemon.await_status("web", lambda s: s["reason"], "a reason")
            assert found["reason"]["kind"] == "degraded"
            assert "test exited with code 1" in found["reason"]["text"]
            (made.root / "well").touch()
            daemon.await_status("web", lambda s: s["reason"] is None, "recovery")
            assert daemon.pid("web") == pid


def test_a_check_has_the_time_that_its_table_says() -> None:
    """More than the five seconds of a readiness attempt are possible, and less."""
    with virtsupd(
        f"""
[service.web]
command = {shell("exec sleep 1000")}
health = {{ kind = "exec", command = ["/bin/sleep", "1000"], interval = "10ms", timeout = "50ms", failures = 1, on_failure = "degrade" }}
"""
    ) as daemon:
        found = daemon.await_status("web", lambda s: s["reason"], "a reason")
        assert "/bin/sleep took more than 0.05 s" in found["reason"]["text"]


def test_a_watchdog_that_is_not_fed_restarts_the_service() -> None:
    with host() as made:
        stop = made.root / "stop"
        made.write(
            f"""
[service.web]
command = {python("svc_many.py", "ready", "watchdog", str(stop))}
ready = "notify"
health = {{ kind = "notify", interval = "500ms", failures = 1 }}
respawn = false
"""
        )
        with made.started() as daemon:
            made.await_log("web", "watchdog 500000\n")
            assert daemon.state("web") == "running"
            stop.touch()
            found = daemon.await_status("web", lambda s: s["failed"], "its failure")
            text = "failed its health check: web did not say WATCHDOG=1 in time"
            assert found["reason"]["text"] == text


def test_a_service_may_call_itself_stuck() -> None:
    with virtsupd(
        f"""
[service.web]
command = {python("svc_many.py", "ready", "trigger")}
ready = "notify"
health = {{ kind = "notify", interval = "1h" }}
respawn = false
"""
    ) as daemon:
        found = daemon.await_status("web", lambda s: s["failed"], "its failure")
        assert found["reason"]["text"] == "failed its health check: it said WATCHDOG=trigger"


def test_ready_by_another_probe_is_not_said_by_the_service() -> None:
    """A watchdog has a notify socket, but READY=1 is not what was asked for."""
    with host() as made:
        made.write(
            f"""
[service.web]
command = {python("svc_many.py", "ready", "say", "said")}
ready = {{ kind = "path", path = "{made.root}/up" }}
health = {{ kind = "notify", interval = "1h" }}
"""
        )
        with made.started() as daemon:
            made.await_log("web", "said")
            daemon.await_status("web", lambda s: s["status_text"] == "at work", "its message")
            assert daemon.state("web") == "starting"
            (made.root / "up").touch()
            daemon.await_state("web", "running")
