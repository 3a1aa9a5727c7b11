"""Thirty services of all sorts in one graph, for a test that does random things to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.daemon import python, shell

SLEEP = shell("exec sleep 1000")
SOON = 'delay = "20ms", factor = 1.0, limit = 100000, window = "1h"'
SHORT = 'stop = { delay = "80ms" }\n'
ALONE = 'stop = { mode = "process", delay = "300ms" }\n'
EXTRAS = ("extra-1", "extra-2")
"""Configured at times."""


@dataclass(frozen=True, slots=True)
class Sort:
    """What the test knows of one service."""

    text: str = ""
    """Its table, edges apart; nothing is a target."""
    family: int = 1
    """Its processes while it runs, guests apart."""
    has_guests: bool = False
    is_flaky: bool = False
    reloads: bool = False
    is_one_shot: bool = False
    sockets: tuple[str, ...] = ()


def many(*words: str) -> str:
    """Return the line with the command of a service that does as these words say."""
    return f"command = {python('svc_many.py', *words)}\n"


def ready(kind: str, **keys: str) -> str:
    """Return the line with a readiness probe."""
    # What says that it is ready while virtsupd is away is taken for ready after this time.
    said = "".join(f', {key} = "{value}"' for key, value in {"timeout": "5s", **keys}.items())
    return f'ready = {{ kind = "{kind}"{said} }}\n'


def sorts(root: Path) -> Mapping[str, Sort]:
    """Return all services of the host whose directory is `root`."""
    sleep = f"command = {SLEEP}\n"
    guest = ("guest", f"{root}/guests")
    fork = many("pid-file", f"{root}/fork.pid") + ready("pid-file", path=f"{root}/fork.pid")
    spread = many(*guest, "pid-file", f"{root}/spread.pid")
    once = 'one_shot = true\nrespawn = { delay = "20ms" }\n'
    return {
        "disk": Sort(f"command = {shell('exit 0')}\n{once}", 0, is_one_shot=True),
        "prepare": Sort(f"command = {shell('exec sleep 0.05')}\n{once}", 0, is_one_shot=True),
        "base": Sort(sleep),
        "bus": Sort(many("ready") + ready("notify")),
        "link": Sort(many("newline", "FD") + _FD),
        "fork": Sort(fork),
        "inet": Sort(many("listen", f"{root}/inet") + ready("socket", path=f"{root}/inet")),
        "asked": Sort(
            f"command = {shell(f'touch {root}/usable; exec sleep 1000')}\n"
            f'ready = {{ kind = "exec", command = ["/usr/bin/test", "-e", "{root}/usable"] }}\n'
        ),
        "deaf": Sort(many("deaf", "ready") + ready("notify") + SHORT),
        "litter": Sort(many("grandchild", "newline", "FD") + _FD + SHORT, 2),
        "filth": Sort(many("deaf", "grandchild", "ready") + ready("notify") + SHORT, 2),
        "crew": Sort(
            many("child", "ready")
            + ready("notify")
            + 'stop = { mode = "group", delay = "80ms" }\n',
            2,
        ),
        "virt": Sort(
            many(*guest, "on-hup", "ready") + ready("notify") + ALONE + 'reload = "HUP"\n',
            has_guests=True,
            reloads=True,
        ),
        "spread": Sort(
            spread + ready("pid-file", path=f"{root}/spread.pid") + ALONE, has_guests=True
        ),
        "deaf-virt": Sort(
            many(*guest, "deaf", "newline", "FD")
            + _FD
            + 'stop = { mode = "process", delay = 0 }\n',
            has_guests=True,
        ),
        "flaky": Sort(many("flaky") + f"respawn = {{ {SOON} }}\n", is_flaky=True),
        "flaky-bus": Sort(
            many("flaky", "ready") + ready("notify") + f"respawn = {{ {SOON} }}\n", is_flaky=True
        ),
        "doomed": Sort(
            f"command = {shell('exit 3')}\n"
            + _FD
            + 'respawn = { delay = "10ms", factor = 1.0, limit = 2, window = "1h" }\n',
            0,
        ),
        "needy": Sort(sleep),
        "idle": Sort(f"command = {shell('exit 9')}\nnot_needed_exit = [9]\n", 0),
        "heir": Sort(sleep),
        "front": Sort(
            many("serve", "front") + f'sockets = ["{root}/front"]\n', sockets=(f"{root}/front",)
        ),
        "back": Sort(
            many("ready", "serve", "back") + ready("notify") + f'sockets = ["{root}/back"]\n',
            sockets=(f"{root}/back",),
        ),
        "red": Sort(sleep + SHORT),
        "blue": Sort(sleep + "autostart = false\n"),
        "green": Sort(sleep),
        "stage": Sort(family=0),
        "late": Sort(many("on-hup", "ready") + ready("notify") + 'reload = "HUP"\n', reloads=True),
        "bound": Sort(sleep),
        "tail": Sort(many("newline", "FD") + _FD),
        "slow": Sort(many("flaky", "ready") + ready("notify") + f"respawn = {{ {SOON} }}\n"),
        "end": Sort(sleep),
    }


_FD = ready("fd", variable="FD")

EDGES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "prepare": {"requires": ("bus",)},
    "bus": {"requires": ("base",)},
    "link": {"requires": ("base",)},
    "fork": {"requires": ("bus",)},
    "inet": {"requires": ("link",)},
    "asked": {"requires": ("disk",)},
    "deaf": {"requires": ("bus",)},
    "litter": {"binds_to": ("link",)},
    "filth": {"after": ("litter",)},
    "crew": {"wants": ("flaky",)},
    "virt": {"requires": ("bus",)},
    "spread": {"binds_to": ("base",)},
    "deaf-virt": {"requires": ("prepare",)},
    "flaky-bus": {"requires": ("disk",)},
    "needy": {"requires": ("doomed",)},
    "heir": {"requires": ("idle",)},
    "front": {"requires": ("base",)},
    "back": {"binds_to": ("front",)},
    "red": {"conflicts": ("blue",)},
    "green": {"requires": ("red",), "after": ("blue",)},
    "stage": {"requires": ("bus", "link")},
    "late": {"requires": ("stage",)},
    "bound": {"binds_to": ("virt",)},
    "tail": {"binds_to": ("bound",), "requires": ("inet",), "before": ("end",)},
    "slow": {"requires": ("fork",)},
    "end": {"wants": ("doomed", "late", "asked"), "binds_to": ("flaky-bus",)},
}


def needs(name: str) -> tuple[str, ...]:
    """Return what has to be satisfied before a service starts."""
    edges = EDGES.get(name, {})
    return (*edges.get("requires", ()), *edges.get("binds_to", ()))


def rivals(name: str) -> tuple[str, ...]:
    """Return what a service conflicts with, whichever of both says so."""
    said = EDGES.get(name, {}).get("conflicts", ())
    return (*said, *(n for n, edges in EDGES.items() if name in edges.get("conflicts", ())))


def closure(name: str) -> tuple[str, ...]:
    """Return a service and all that is started along with it."""
    found = {name: None}
    waiting = [name]
    while waiting:
        at = waiting.pop()
        along = (*needs(at), *EDGES.get(at, {}).get("wants", ()))
        waiting += [other for other in along if other not in found]
        found |= dict.fromkeys(along)
    return tuple(found)


def configuration(root: Path, extras: tuple[str, ...], changed: Mapping[str, int]) -> str:
    """Return all tables; `changed` has, for some services, what makes another definition of them."""
    known = dict(sorts(root))
    known |= {name: Sort(f"command = {SLEEP}\n") for name in extras}
    return "\n".join(_table(name, sort, changed.get(name)) for name, sort in known.items())


def _table(name: str, sort: Sort, change: int | None) -> str:
    edges = "".join(f"{edge} = {list(to)}\n" for edge, to in EDGES.get(name, {}).items())
    other = f'environment = {{ CHANGE = "{change}" }}\n' if change and sort.text else ""
    return f"[service.{name}]\n{sort.text}{edges}{other}"
