"""What there is to know of a shutdown."""

import pytest

from virtsupd.core.host_scope import ROOT, Guest, GuestHost, GuestState
from virtsupd.core.names import Name, parse_name
from virtsupd.core.shutdown_policy import GuestEnd


def test_no_service_can_be_called_as_the_shutdown_is() -> None:
    with pytest.raises(ValueError, match="means virtsupd itself"):
        parse_name(ROOT)


@pytest.mark.parametrize(
    ("state", "is_settled"),
    [
        (GuestState.RUNNING, False),
        (GuestState.ENDING, False),
        (GuestState.ENDED, True),
        (GuestState.LEFT, True),
    ],
)
def test_a_host_has_guests_while_something_is_to_be_done_about_one(
    state: GuestState, *, is_settled: bool
) -> None:
    guest = Guest("a", GuestEnd.SHUTDOWN, 1.0, state)
    assert guest.is_settled == is_settled
    assert GuestHost(Name("virt"), {"a": guest}).has_guests != is_settled
