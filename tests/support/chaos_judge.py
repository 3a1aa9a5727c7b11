"""Whether virtsupd's word, the world and the records agree about every service."""

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.chaos_host import needs, rivals
from tests.support.checks import text_of
from tests.support.daemon import Host, Json, pids_of

from virtsupd.control.client import Client
from virtsupd.errors import VirtsupdError
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.lives import Life, epoch, is_alive, life_of

if TYPE_CHECKING:
    from tests.support.chaos import Chaos

FLAKY_SECONDS = 0.4
"""Within which a flaky service has died if it does."""


def cgroups_of(made: Host, name: str) -> list[Cgroup]:
    """Return the cgroups of a service."""
    tree = made.cgroup()
    assert tree is not None
    return [Cgroup(path) for path in tree.path.glob(f"{name}.service*")]


def lives_at(made: Host, name: str) -> set[int]:
    """Return the processes in the cgroups of a service that have not ended."""
    pids = {pid for group in cgroups_of(made, name) for pid in group.pids()}
    return {pid for pid in pids if life_of(pid) is not None}


def guests_of(made: Host) -> set[int]:
    """Return the guests and bystanders that there ever were."""
    return {int(name) for name in os.listdir(made.root / "guests")}  # noqa: PTH208 - names are meant


def statuses_of(client: Client) -> dict[str, Json]:
    """Return the status of each service by its name."""
    answer: Json = client.call("Status", {"names": []})
    return {service["name"]: service for service in answer["services"]}


def disagreements(chaos: "Chaos") -> list[str]:
    """Return, in words, what is not settled or not as virtsupd says; [] if all agrees."""
    try:
        with Client(str(chaos.made.socket), 10.0) as client:
            first = statuses_of(client)
            found = [*_unsettled(chaos, first), *_world(chaos, first)]
            again = statuses_of(client)
    except VirtsupdError as error:
        return [str(error)]
    found += [f"{name} changes" for name in first if first[name] != again.get(name)]
    return found


def _unsettled(chaos: "Chaos", statuses: dict[str, Json]) -> list[str]:
    found = []
    for name, status in statuses.items():
        kind = (status["reason"] or {}).get("kind")
        if status["state"] in ("starting", "stopping") or kind == "backing-off":
            found.append(f"{name} is {status['state']} ({kind})")
        sort = chaos.sorts.get(name)
        if sort and sort.is_flaky and time.time() - status["since"] < FLAKY_SECONDS:
            found.append(f"{name} may be dying")
    return found


def _world(chaos: "Chaos", statuses: dict[str, Json]) -> list[str]:
    found = []
    for name, status in statuses.items():
        found += [f"{name}: {text}" for text in _service(chaos, status, statuses)]
    found += _nobody_else(chaos, statuses)
    return found


def _service(chaos: "Chaos", status: Json, statuses: dict[str, Json]) -> list[str]:
    name = status["name"]
    sort = chaos.sorts.get(name)
    family = sort.family if sort else 1
    found = _wishes(chaos, status, statuses)
    lives = lives_at(chaos.made, name) - guests_of(chaos.made)
    pid = status["pid"]
    if status["state"] == "running" and not status["done"] and status["command"]:
        if pid not in lives:
            found.append(f"runs as {pid}, in its cgroup are {sorted(lives)}")
        if len(lives) != family:
            found.append(f"has {len(lives)} processes, not {family}: {sorted(lives)}")
    elif lives or pid:
        found.append(f"{status['state']}, with the processes {sorted(lives)}, pid {pid}")
    return found + _record(chaos.made, status)


def _wishes(chaos: "Chaos", status: Json, statuses: dict[str, Json]) -> list[str]:
    """Return what of a service is not as its commands and its neighbours ask for."""
    name, state = status["name"], status["state"]
    found = []
    if name in chaos.possible and status["wanted"] not in chaos.possible[name]:
        found.append(f"wanted is {status['wanted']}, by {status['wanted_by']}")
    if name in chaos.able and status["enabled"] not in chaos.able[name]:
        found.append(f"enabled is {status['enabled']}")
    if not status["wanted"] and state != "stopped":
        found.append(f"is not wanted, and {state}")
    kind = (status["reason"] or {}).get("kind")
    is_due = status["wanted"] and status["enabled"] and state == "stopped"
    if is_due and kind not in ("failed", "not-needed"):
        unmet = [n for n in needs(name) if not _is_satisfied(statuses[n])]
        alive = [n for n in rivals(name) if statuses[n]["state"] != "stopped"]
        if not unmet and not alive:
            found.append(f"is wanted and could run: {status['reason']}")
    return found


def _is_satisfied(status: Json) -> bool:
    kind = (status["reason"] or {}).get("kind")
    return status["state"] == "running" or kind == "not-needed"


def under_way(chaos: "Chaos") -> list[str]:
    """Return what a virtsupd that was killed had begun to start or stop."""
    records = chaos.made.run_dir / "records"
    texts = {name: text_of(records / name) for name in chaos.sorts}
    states = {name: json.loads(text)["service"]["state"] for name, text in texts.items() if text}
    return [name for name, state in states.items() if state in ("starting", "stopping")]


def _record(made: Host, status: Json) -> list[str]:
    """Return what a successor would take for something else."""
    text = text_of(made.run_dir / "records" / status["name"])
    content = json.loads(text) if text else {}
    kept, start = content.get("service", {}), content.get("start")
    found = []
    if kept.get("state", "stopped") != status["state"]:
        found.append(f"is recorded as {kept.get('state')}, and {status['state']}")
    if kept.get("pid") != status["pid"]:
        found.append(f"is recorded with the pid {kept.get('pid')}, not {status['pid']}")
    life = life_of(status["pid"]) if status["pid"] else None
    pid, started = start["leader"] if start and start["leader"] else (None, 0)
    leader = Life(pid, started, epoch()) if pid else None
    if leader != life and (leader is None or life is not None or is_alive(leader)):
        found.append(f"its record names {leader}, its process is {life}")
    return found


def _nobody_else(chaos: "Chaos", statuses: dict[str, Json]) -> list[str]:
    made = chaos.made
    known = set(guests_of(made)) | {chaos.daemon.process.pid}
    known |= {pid for name in statuses for pid in lives_at(made, name)}
    others = {pid for pid in pids_of(made) if pid not in known and life_of(pid) is not None}
    commands = {pid: _command(pid) for pid in others}
    strangers = {pid: c for pid, c in commands.items() if "logkeeper" not in c and c}
    keepers = [pid for pid, c in commands.items() if "logkeeper" in c]
    found = [f"process {pid} is nobody's: {c[:100]}" for pid, c in strangers.items()]
    if len(keepers) != 1:
        found.append(f"there are {len(keepers)} log keepers: {keepers}")
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:  # it has just ended
        return ""
