"""Why a machine ended decides what becomes of it: its exit code is 0 for everything."""

from dataclasses import replace

import pytest
from tests.support.pure_host import CLEAN, FAILED, PureHost, service

from virtsupd.core.events import BecameReady, Exited
from virtsupd.core.exits import ExitStatus
from virtsupd.core.machine import MachineEnd, MachineSpec, Rung, RungSpec
from virtsupd.core.names import Name
from virtsupd.core.spec import MachineProbe, Readiness, Respawn, ServiceSpec

HURD = Name("hurd")
READY = Readiness(MachineProbe((RungSpec(Rung.SSH, 60.0),)), timeout_seconds=0)
SOMETIMES = Respawn(delay_seconds=10, only_failures=True)


def machine(respawn: Respawn | None = SOMETIMES) -> ServiceSpec:
    plain = service("hurd", ready=READY, respawn=respawn)
    assert plain.process is not None
    process = replace(plain.process, machine=MachineSpec("/run/m", "/run/m/qmp"))
    return replace(plain, process=process, is_guest=True)


def ended(
    end: MachineEnd | None, *, status: ExitStatus = CLEAN, spec: ServiceSpec | None = None
) -> PureHost:
    """Return a host whose machine ran, and ended for this reason."""
    host = PureHost.of(spec or machine())
    host.ready("hurd")
    _end(host, end, status)
    return host


def _end(host: PureHost, end: MachineEnd | None, status: ExitStatus = CLEAN) -> None:
    process = host.processes.pop(HURD)
    host.post(Exited(HURD, process.generation, status, end=end))


def test_a_guest_that_restarts_itself_is_started_again() -> None:
    host = ended(MachineEnd.REBOOT)
    assert "its guest restarted itself" in host.reason("hurd")
    host.pass_time(10)
    assert host.state("hurd") == "starting"


@pytest.mark.parametrize("end", [MachineEnd.POWER_OFF, MachineEnd.QUIT])
def test_a_machine_that_was_to_be_off_stays_off(end: MachineEnd) -> None:
    host = ended(end)
    assert host.reason("hurd") == f"finished: {end}"
    host.pass_time(100)
    assert host.state("hurd") == "stopped"
    assert host.is_wanted("hurd"), "a start by hand ends its rest"


def test_it_is_started_again_though_it_powered_itself_off_if_its_file_says_so() -> None:
    host = ended(MachineEnd.POWER_OFF, spec=machine(Respawn(delay_seconds=10)))
    host.pass_time(10)
    assert host.state("hurd") == "starting"


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (None, CLEAN),
        (None, ExitStatus()),
        (MachineEnd.SIGNAL, CLEAN),
        (MachineEnd.PANIC, CLEAN),
        (MachineEnd.ERROR, FAILED),
    ],
)
def test_any_other_end_is_a_crash_whatever_the_exit_code(
    end: MachineEnd | None, status: ExitStatus
) -> None:
    host = ended(end, status=status)
    host.pass_time(10)
    assert host.state("hurd") == "starting"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (CLEAN, "exited with code 0; its monitor did not say why"),
        (FAILED, "exited with code 1"),
        (ExitStatus(words="could not have port 1"), "could not have port 1"),
    ],
)
def test_that_its_monitor_said_nothing_is_told_where_nothing_else_tells(
    status: ExitStatus, text: str
) -> None:
    host = PureHost.of(machine(respawn=None))
    _end(host, None, status)
    assert host.reason("hurd") == f"failed: {text}, before it was ready"


def test_one_that_ended_before_it_was_ready_counts_as_a_start_that_failed() -> None:
    host = PureHost.of(machine(respawn=None))
    _end(host, MachineEnd.REBOOT)
    assert host.reason("hurd") == "failed: its guest restarted itself, before it was ready"


def test_a_guest_that_restarts_over_and_over_comes_to_rest() -> None:
    host = PureHost.of(machine(Respawn(delay_seconds=0.1, limit=2, window_seconds=300.0)))
    for _ in range(3):
        host.post(BecameReady(HURD, host.processes[HURD].generation))
        _end(host, MachineEnd.REBOOT)
        host.pass_time(30)
    assert "the limit is 2 respawns" in host.reason("hurd")


def test_a_stop_says_nothing_of_why_it_ended() -> None:
    host = PureHost.of(machine())
    host.ready("hurd")
    host.stop("hurd")
    assert host.state("hurd") == "stopped"
    assert "finished" not in host.reason("hurd")
