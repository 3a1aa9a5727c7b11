"""How guests and services are ended when the host goes down."""

from virtsupd.core.shutdown_policy import GuestEnd, RunningGuest, ShutdownPolicy


def test_a_shutdown_and_the_killing_after_it_end_before_the_host_gives_up() -> None:
    """`packaging/` gives virtsupd 15 minutes; guests and then services have 10 seconds each to die."""
    assert ShutdownPolicy().timeout_seconds + 2 * 10 < 15 * 60


def test_a_guest_has_the_policy_of_the_host_unless_it_says_otherwise() -> None:
    assert RunningGuest("a") == RunningGuest("a", None, None)
    assert ShutdownPolicy().guest_end is GuestEnd.SHUTDOWN
    assert ShutdownPolicy().guest_timeout_seconds <= ShutdownPolicy().timeout_seconds
