"""What there is to stop when nothing is left; real children are in tests/process/test_stop.py."""

import pytest

from virtsupd.core.spec import StopMode
from virtsupd.process.stop import Remains, is_gone, kill, signal_leader, signal_number, terminate

NOBODY = 2**22 - 1
"""A number above the kernel's highest pid."""


@pytest.mark.parametrize("mode", list(StopMode))
def test_nothing_left_is_gone_and_signalling_it_does_nothing(mode: StopMode) -> None:
    remains = Remains(leader=None, group=NOBODY, cgroup=None, mode=mode)
    assert is_gone(remains)
    terminate(remains, "SIGTERM")
    kill(remains)
    signal_leader(remains, "SIGHUP")


@pytest.mark.parametrize("mode", list(StopMode))
def test_a_leader_that_vanished_meanwhile_does_no_harm(mode: StopMode) -> None:
    remains = Remains(leader=NOBODY, group=NOBODY, cgroup=None, mode=mode)
    assert is_gone(remains)
    terminate(remains, "SIGTERM")
    kill(remains)


def test_signals_go_by_name() -> None:
    assert signal_number("SIGTERM") == 15
    for name in ("TERM", "SIGNONE", "15", ""):
        with pytest.raises(ValueError, match="is not a signal"):
            signal_number(name)
