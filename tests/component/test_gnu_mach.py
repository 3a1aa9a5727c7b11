"""A childhurd whose kernel is a real GNU Mach, and that is nothing but its kernel: it hears nobody."""

import pytest
from tests.support.daemon import Daemon
from tests.support.stand_in import (
    StandIn,
    await_console,
    await_ready,
    last_exit,
    mach,
    rungs,
    stand_in,
    unit,
)

pytestmark = [pytest.mark.component, pytest.mark.timeout(120)]

STEPS = "".join(
    f'{{ how = "{how}", time = "{seconds}s" }}, '
    for how, seconds in (("agent", 60), ("powerdown", 2), ("quit", 10), ("signal", 10))
)
STOP = unit(f"stop = {{ steps = [{STEPS}] }}")


def test_gnu_mach_boots_with_the_default_command_line_and_is_quit_through_its_monitor() -> None:
    image = f'image = "{mach()}"'
    with (
        stand_in(image, 'ready_at = "monitor"', more=STOP) as guest,
        guest.host.started() as daemon,
    ):
        await_ready(daemon)
        await_console(guest.host, "MACH-TASK-RUNS")
        assert "GNU Mach 1.8" in guest.host.log("hurd-vm")
        assert rungs(guest.host) == {"rung-monitor"}, "nobody in it asks for secrets"
        assert_it_is_quit(guest, daemon)


def assert_it_is_quit(guest: StandIn, daemon: Daemon) -> None:
    """Stop it; nobody hears the agent or the power button, so that it is quit, and status says so."""
    daemon.ctl("--timeout", "0.5", "stop", "childhurd", expect=None)
    said = "pressed its power button; 2 s for that"
    daemon.await_status("hurd-vm", lambda s: s["status_text"] == said, said)
    daemon.await_state("hurd-vm", "stopped")
    assert last_exit(daemon).startswith("quit through its monitor, 2.")
    status = daemon.ctl("status", "childhurd", expect=None).stdout
    assert "quit through its monitor, 2." in status
    assert not (guest.host.run_dir / "machines/hurd-vm").exists()
