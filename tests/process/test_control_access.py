"""Peers of other users: what the socket's mode and the access rules let them do."""

import json
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from tests.support.control import connected, running_server
from tests.support.hand_backend import HandBackend, snapshot_of, spec_of

from virtsupd.config.settings import AccessRule, AccessSettings
from virtsupd.control.connection import Limits
from virtsupd.core.commands import Touch
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.errors import ConfigError

pytestmark = pytest.mark.process

PEER = Path(__file__).parents[1] / "children/control_peer.py"
UID, GROUP = 12345, 23456


@pytest.fixture
def path() -> Iterator[Path]:
    """Return a socket's path that every user can reach."""
    directory = Path(tempfile.mkdtemp(dir="/tmp"))
    directory.chmod(0o755)
    yield directory / "control"
    shutil.rmtree(directory)


async def as_user(path: Path, text: str, *, hold: int = 1) -> str:
    """Send text as user 12345, who is in group 23456 beside its own."""

    def run() -> str:
        done = subprocess.run(
            [sys.executable, "-I", "-S", PEER, str(UID), str(GROUP), path, str(hold), text],
            capture_output=True,
            text=True,
            timeout=15,
            check=False,
        )
        return done.stdout + done.stderr

    return await anyio.to_thread.run_sync(run)


async def call(path: Path, method: str, **parameters: object) -> dict[str, Any]:
    name = f"org.virtsupd.Supervisor.{method}"
    found: dict[str, Any] = json.loads(
        await as_user(path, json.dumps({"method": name, "parameters": parameters}) + "^")
    )
    return found


def backend() -> HandBackend:
    web, front = spec_of("web"), spec_of("front", requires=("web",))
    return HandBackend(snapshot_of(web), snapshot_of(front))


async def test_the_default_mode_keeps_everybody_out(path: Path) -> None:
    async with running_server(backend(), path):
        assert await as_user(path, "") == "refused\n"


async def test_a_peer_without_any_role_is_told_so_and_cut(path: Path) -> None:
    access = AccessSettings(mode=0o666)
    twice = '{"method":"org.virtsupd.Supervisor.Quit","parameters":{}}^' * 2
    async with running_server(backend(), path, access=access):
        found = await as_user(path, twice)
    assert found.count("PermissionDenied") == 1
    assert "Quit needs role admin, which uid 12345 does not have" in found


async def test_a_supplementary_group_gives_its_role(path: Path) -> None:
    rule = AccessRule("operator", gid=GROUP, services=("web",))
    daemon = backend()
    async with running_server(daemon, path, access=AccessSettings(mode=0o666, rules=(rule,))):
        shown = await call(path, "Status", names=[])
        assert [found["name"] for found in shown["parameters"]["services"]] == ["web"]
        assert "error" not in await call(path, "Start", names=["web"])
        daemon.touch = Touch(stopped=(Name("web"), Name("front")))
        refused = [
            await call(path, "Stop", names=["web"]),
            await call(path, "Start", names=["front"]),
            await call(path, "Disable", names=["web"]),
            await call(path, "Cat", name="front"),
            await call(path, "Reload"),
            await call(path, "Plan", names=["web"]),
            await call(path, "Shutdown"),
        ]
    assert daemon.asked == [(Verb.START, ("web",), "uid 12345 via virtsupctl", False)]
    assert daemon.ended == []
    assert [found["parameters"]["message"].split(",")[0] for found in refused] == [
        "stop would stop others and needs role operator for front",
        "start needs role operator for front",
        "disable needs role admin for web",
        "looking needs role viewer for front",
        "reload needs role admin",
        "plan needs role viewer",
        "shutdown needs role admin",
    ]


async def test_herd_is_refused_by_a_tag_of_its_own(path: Path) -> None:
    access = AccessSettings(mode=0o666, rules=(AccessRule("viewer", uid=UID),))
    command = (
        '(shepherd-command (version 0) (action {}) (service {}) (arguments ()) (directory "/"))'
    )
    async with running_server(backend(), path, access=access):
        assert "(provides (web))" in await as_user(path, command.format("status", "root"))
        refused = await as_user(path, command.format("stop", "web"))
        assert "(error (version 0) permission-denied stop web " in refused
        assert "permission-denied" in await as_user(path, command.format("stop", "root"))


@pytest.mark.parametrize(
    "limits",
    [
        Limits(connections=40, reserved_for_admins=20, per_uid=10),
        Limits(connections=30, reserved_for_admins=20, per_uid=20),
    ],
)
async def test_users_have_their_own_limit_and_admins_a_reserve(path: Path, limits: Limits) -> None:
    access = AccessSettings(mode=0o666, rules=(AccessRule("viewer", uid=UID),))
    ask = '{"method":"org.virtsupd.Supervisor.Cat","parameters":{"name":"web"}}^'
    async with running_server(backend(), path, access=access, limits=limits) as server:
        seen: list[int] = []

        async def watch() -> None:
            while True:
                seen.append(server.count)
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await as_user(path, ask, hold=60)
            tasks.cancel_scope.cancel()
        assert max(seen) <= 10
        async with connected(path) as root:
            assert "error" not in await root.call("Status", {"names": []})


async def test_new_rules_cut_those_who_lose_by_them(path: Path) -> None:
    access = AccessSettings(mode=0o666, rules=(AccessRule("viewer", uid=UID),))
    daemon = backend()
    watch = '{"method":"org.virtsupd.Supervisor.Watch","parameters":{"names":[]},"more":true}^'
    async with running_server(daemon, path, access=access) as server, connected(path) as root:
        await root.call("Status", {"names": []})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(as_user, path, watch)
            while not daemon.subscriptions:
                await anyio.lowlevel.checkpoint()
            server.change_access(AccessSettings())
        assert "error" not in await root.call("Status", {"names": []})


@pytest.mark.parametrize("mode", [0o600, 0o666])
async def test_a_new_mode_cuts_those_whom_it_keeps_out(path: Path, mode: int) -> None:
    rules = (AccessRule("viewer", uid=UID),)
    daemon = backend()
    watch = '{"method":"org.virtsupd.Supervisor.Watch","parameters":{"names":[]},"more":true}^'
    shown: list[str] = []

    async def look() -> None:
        shown.append(await as_user(path, watch))

    access = AccessSettings(mode=0o666, rules=rules)
    async with running_server(daemon, path, access=access) as server:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            while not daemon.subscriptions:
                await anyio.lowlevel.checkpoint()
            server.change_access(AccessSettings(mode=mode, rules=rules))
            daemon.change("service running", daemon.by_name[Name("web")])
        assert bool(shown[0]) is (mode == 0o666)


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def lose(path: Path) -> None:
    """Put a link in place of a socket's directory that leads nowhere but to itself."""
    path.unlink()
    path.parent.rmdir()
    path.parent.symlink_to(path.parent)


async def test_when_one_socket_cannot_change_all_stays_as_it_was(path: Path) -> None:
    access = AccessSettings(mode=0o660, rules=(AccessRule("viewer", uid=UID),))
    herd_path = path.parent / "herd/socket"
    async with running_server(backend(), path, access=access, herd_path=herd_path) as server:
        lose(herd_path)
        with pytest.raises(ConfigError, match=r"cannot change mode and owner of .*herd/socket: "):
            server.change_access(AccessSettings(mode=0o666))
        assert permissions(path) == 0o660
        assert server._access_settings == access


async def test_a_socket_whose_path_is_gone_hinders_no_new_rules(path: Path) -> None:
    herd_path = path.parent / "herd"
    async with running_server(backend(), path, herd_path=herd_path) as server:
        herd_path.unlink()
        server.change_access(AccessSettings(mode=0o666))
        assert permissions(path) == 0o666
