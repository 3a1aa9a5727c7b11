"""What is pending is known as long as virtsupd lives."""

from itertools import pairwise
from pathlib import Path

from tests.support.config_folder import Folder
from tests.support.pure_host import PureHost

from virtsupd.core.engine import Engine
from virtsupd.core.events import Booted, Reloaded
from virtsupd.core.forecast import Fate
from virtsupd.daemon.origins import Origins
from virtsupd.daemon.planning import planned_steps


def test_what_is_pending_is_told_until_it_is_in_force(tmp_path: Path) -> None:
    """A second plan, or the reload after next, says what the process differs in, not the file."""
    folder = Folder(tmp_path)
    texts = ["[virtlog]\n"]
    texts += [
        f"[virtlog]\nmax_clients = {clients}\nmax_size = {size}\n"
        for clients, size in ((7, 1000), (7, 1000), (8, 2000), (1024, 2000))
    ]
    loads = [folder.load(text) for text in texts]
    host, origins = PureHost(Engine(loads[0].graph, {})), Origins()
    host.post(Booted())
    while starting := [name for name in host.engine.names() if host.state(name) == "starting"]:
        host.ready(*starting)
    found = []
    for old, new in pairwise(loads):
        event = Reloaded(new.graph)
        steps = planned_steps(host.engine, old, new, event, origins)
        [step] = [step for step in steps if step.name == "virtlogd"]
        found.append((step.fate, [(key.key, key.old, key.new) for key in step.keys]))
        origins.note(host.engine, old, steps)
        host.post(event)
    assert found == [
        (Fate.PENDING, [("max_clients", "1024", "7"), ("max_size", "2097152", "1000")]),
        (Fate.PENDING, [("max_clients", "1024", "7")]),
        (Fate.PENDING, [("max_clients", "1024", "8"), ("max_size", "1000", "2000")]),
        (Fate.UNCHANGED, []),
    ]


def test_commands_that_follow_a_table_are_not_told_beside_its_keys(tmp_path: Path) -> None:
    folder, own = Folder(tmp_path), '[service.web]\ncommand = ["/bin/web"]\n'
    act = own + '[service.web.actions.look]\ncommand = ["{}"]\n'
    old = folder.load("[virtlog]\n" + act.format("/bin/look"))
    new = folder.load("[virtlog]\nlog_level = 1\n" + act.format("/bin/see"))
    host = PureHost(Engine(old.graph, {}))
    steps = planned_steps(host.engine, old, new, Reloaded(new.graph), Origins())
    found = {step.name: [key.key for key in step.keys] for step in steps if step.keys}
    assert found == {"virtlogd": ["log_level"], "web": ["actions.look.command"]}
