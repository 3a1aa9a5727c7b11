"""What a new configuration would do is told per service, with changed keys and their price."""

from pathlib import Path

import pytest
from tests.support.config_folder import Folder
from tests.support.pure_host import PureHost

from virtsupd.config.difference import When
from virtsupd.config.load import Loaded
from virtsupd.config.problems import HostFault
from virtsupd.control.plan import Step
from virtsupd.core.engine import Engine
from virtsupd.core.events import Booted, Reloaded
from virtsupd.core.forecast import Fate
from virtsupd.core.names import Name
from virtsupd.daemon.origins import Origins
from virtsupd.daemon.planning import (
    canonical,
    ended_by,
    harmful,
    misfits,
    planned_steps,
    unattended,
    with_harms,
)
from virtsupd.errors import UnknownServiceError

WEB = '[service.web]\ncommand = ["/bin/web"]\n'
NEEDS_WEB = '[service.vm]\ncommand = ["/bin/vm"]\nguest = true\nrequires = ["web"]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def running(loaded: Loaded) -> PureHost:
    host = PureHost(Engine(loaded.graph, {}))
    host.post(Booted())
    while starting := [name for name in host.engine.names() if host.state(name) == "starting"]:
        host.ready(*starting)
    return host


def planned(folder: Folder, before: str, after: str) -> dict[str, Step]:
    old, new = folder.load(before), folder.load(after)
    host = running(old)
    steps = planned_steps(host.engine, old, new, Reloaded(new.graph), Origins())
    return {step.name: step for step in steps}


def test_the_changed_keys_of_a_definition_are_told(folder: Folder) -> None:
    step = planned(folder, WEB, f'{WEB}user = "nobody"\n')["web"]
    assert (step.fate, step.is_changed, step.command) == (Fate.PENDING, True, ("restart", "web"))
    assert [(key.key, key.old, key.new) for key in step.keys] == [("user", None, '"nobody"')]


def test_the_changed_keys_of_a_generated_file_are_told(folder: Folder) -> None:
    steps = planned(folder, "[libvirt]\n", '[libvirt]\ntcp_port = "16510"\n')
    key = steps["libvirtd"].keys[0]
    assert (key.key, key.old, key.new, key.when) == (
        "tcp_port",
        '"16509"',
        '"16510"',
        When.RESTART,
    )
    assert key.file.endswith("generated/libvirt/libvirtd.conf")
    assert steps["libvirtd"].fate is Fate.PENDING


def test_a_reader_is_told_of_what_it_reads_again(folder: Folder) -> None:
    steps = planned(folder, "[virtlog]\n", "[virtlog]\nmax_size = 1000\n")
    assert (steps["virtlogd"].fate, steps["virtlogd"].is_told) == (Fate.RELOADED, True)
    assert steps["virtlogd"].command == ()
    both = planned(folder, "[virtlog]\n", "[virtlog]\nmax_size = 1000\nmax_clients = 7\n")
    assert (both["virtlogd"].fate, both["virtlogd"].is_told) == (Fate.PENDING, True)
    assert {key.key: key.when for key in both["virtlogd"].keys} == {
        "max_size": When.RELOAD,
        "max_clients": When.RESTART,
    }


def test_a_restart_that_would_end_guests_names_them(folder: Folder) -> None:
    text = WEB + NEEDS_WEB
    step = planned(folder, text, text.replace("/bin/web", "/bin/other"))["web"]
    assert (step.touches, step.guests) == (("vm",), ("vm",))
    assert step.command == ("restart", "web", "--guests")


def test_a_restart_that_would_cost_guests_something_says_what(folder: Folder) -> None:
    text = WEB + NEEDS_WEB
    found = tuple(planned(folder, text, text.replace("/bin/web", "/bin/other")).values())
    assert ended_by(found) == {"web", "vm"}
    harms = {Name("vm"): "its lamp goes out", Name("other"): "nothing of this"}
    web, vm = with_harms(found, harms)[::-1]
    assert (web.name, web.harms) == ("web", ("its lamp goes out",))
    assert (vm.name, vm.harms) == ("vm", ())
    assert list(harmful(found, harms)) == []


def test_a_stop_that_would_cost_guests_something_is_refused(folder: Folder) -> None:
    found = tuple(planned(folder, WEB, "").values())
    assert ended_by(found) == {"web"}
    assert list(harmful(found, {Name("web"): "the lamp goes out"})) == [
        "web: it would be stopped: the lamp goes out"
    ]


def test_what_comes_and_goes_has_no_keys(folder: Folder) -> None:
    steps = planned(folder, WEB, WEB.replace("web", "app"))
    assert (steps["web"].fate, steps["web"].keys) == (Fate.STOPPED, ())
    assert (steps["app"].fate, steps["app"].is_new, steps["app"].keys) == (Fate.STARTED, True, ())


def test_another_place_in_the_files_is_no_change(folder: Folder) -> None:
    old = folder.load(WEB)
    folder.write("units/web.toml", 'command = ["/bin/web"]\n')
    new = folder.load("")
    [step] = planned_steps(running(old).engine, old, new, Reloaded(new.graph), Origins())
    assert (step.fate, step.is_changed, step.keys) == (Fate.UNCHANGED, False, ())


def test_names_are_those_of_now_and_those_to_come(folder: Folder) -> None:
    old = folder.load(WEB)
    new = folder.load(f'{WEB.replace("web", "app")}provides = ["app", "other"]\n')
    host, event = running(old), Reloaded(new.graph)
    assert canonical(host.engine, event, ["web", "other"]) == {"web", "app"}
    with pytest.raises(UnknownServiceError):
        canonical(host.engine, event, ["nobody"])


VIRTLOG = '[virtlog]\n[service.virtlogd]\nready = "none"\n'
FAULT = HostFault("virtlog.log_outputs: it is a directory", ("virtlogd",))


@pytest.mark.parametrize(
    ("before", "after", "is_cause"),
    [
        (WEB, VIRTLOG, True),
        (WEB, f"{VIRTLOG}autostart = false\n", True),
        (VIRTLOG, VIRTLOG.replace("[virtlog]", "[virtlog]\nmax_clients = 7"), True),
        (VIRTLOG, VIRTLOG.replace("[virtlog]", "[virtlog]\nmax_size = 1000"), True),
        (f"{VIRTLOG}autostart = false\n", VIRTLOG, True),
        (VIRTLOG, VIRTLOG + WEB, False),
        (VIRTLOG + WEB, VIRTLOG, False),
    ],
)
def test_a_reload_is_refused_over_what_it_brings_and_not_over_what_was_there(
    folder: Folder, before: str, after: str, *, is_cause: bool
) -> None:
    steps, new = planned(folder, before, after).values(), folder.load(after)
    told = f"virtlogd would not start: {FAULT.text}"
    assert misfits(steps, [FAULT], new.graph) == (
        ((FAULT.text,), ()) if is_cause else ((), (told,))
    )


def test_a_host_that_does_not_answer_is_told_of(folder: Folder) -> None:
    silent = HostFault("no answer")
    assert misfits([], [silent], folder.load(VIRTLOG).graph) == ((), ("no answer",))


LIBVIRT = "[libvirt]\n[virtlog]\n"
GUEST = '[[guest]]\ndomain = "db1"\nautostart = false\n'


@pytest.mark.parametrize(
    ("after", "is_said"), [(GUEST, True), (LIBVIRT, False), (LIBVIRT + GUEST, False)]
)
def test_guests_whose_libvirt_ends_are_warned_of(
    folder: Folder, after: str, *, is_said: bool
) -> None:
    steps = planned(folder, LIBVIRT + GUEST, after).values()
    found = list(unattended(steps, folder.load(LIBVIRT + GUEST), folder.load(after)))
    assert bool(found) is is_said
    if is_said:
        assert "libvirtd ends" in found[0]
        assert "db1" in found[0]
