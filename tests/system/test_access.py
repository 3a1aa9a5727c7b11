"""What another user may do on a real virtsupd, and what a reload makes of it."""

import json
import stat
import subprocess
import sys
from typing import Any

import pytest
from tests.support.checks import eventually
from tests.support.daemon import CHILDREN, Daemon, virtsupd

pytestmark = pytest.mark.process

UID, GROUP = 12345, 23456
OPERATOR_OF_WEB = f'[[access.rule]]\nrole = "operator"\nuid = {UID}\nservices = ["web"]\n'
OPEN = '[access]\nmode = "0666"\n'


def service(name: str, *keys: str) -> str:
    return "\n".join((f"[service.{name}]", 'command = ["/bin/sleep", "1000"]', *keys, ""))


SERVICES = (
    service("net", 'conflicts = ["rival"]', "autostart = false")
    + service("web", 'requires = ["net"]', "autostart = false")
    + service("rival")
    + service("page", 'requires = ["rival"]')
)


def as_user(daemon: Daemon, method: str, **parameters: Any) -> str:
    """Call a method as user 12345 and return the reply's text, "refused" without a connection."""
    call = {"method": f"org.virtsupd.Supervisor.{method}", "parameters": parameters}
    peer = (sys.executable, "-I", "-S", CHILDREN / "control_peer.py")
    done = subprocess.run(
        [*peer, str(UID), str(GROUP), daemon.host.socket, "1", json.dumps(call) + "^"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=15,
        check=False,
    )
    return done.stdout.strip()


def test_who_may_start_a_service_may_not_stop_what_is_in_its_way() -> None:
    with virtsupd(SERVICES + OPEN + OPERATOR_OF_WEB) as daemon:
        for name in ("rival", "page"):
            daemon.await_state(name, "running")
        refused = as_user(daemon, "Start", names=["web"])
        assert "org.virtsupd.Supervisor.PermissionDenied" in refused
        assert "start would stop others and needs role operator for page" in refused
        assert {daemon.state(name) for name in ("rival", "page")} == {"running"}
        daemon.ask("Stop", "rival")
        reply = json.loads(as_user(daemon, "Start", names=["web"]))
        assert [found["result"] for found in reply["parameters"]["reports"]] == ["done"]
        assert daemon.state("net") == "running"
        assert "PermissionDenied" in as_user(daemon, "Stop", names=["net"])


def test_a_tighter_mode_holds_as_soon_as_it_is_reloaded() -> None:
    rules = OPERATOR_OF_WEB
    with virtsupd(SERVICES + OPEN + rules) as daemon:
        inode = daemon.host.socket.stat().st_ino
        assert "parameters" in as_user(daemon, "Status", names=["web"])
        daemon.host.write(SERVICES + rules)
        daemon.ctl("reload")
        found = daemon.host.socket.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_ino) == (0o600, inode)
        assert as_user(daemon, "Status", names=["web"]) == "refused"
        owned = '[access]\nmode = "0660"\nowner = "daemon"\ngroup = "mail"\n'
        daemon.host.write(SERVICES + owned + rules)
        daemon.signal("HUP")
        eventually(lambda: daemon.host.socket.group() == "mail", "the socket has its new group")
        assert daemon.host.socket.owner() == "daemon"
