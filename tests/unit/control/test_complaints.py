"""What the log says about clients: enough, and not more."""

from structlog.testing import capture_logs

from virtsupd.control.complaints import Complaints, DefectError
from virtsupd.core.events import Instant


class HandClock:
    """A clock that stands until the test moves it."""

    def __init__(self) -> None:
        self.monotonic = 100.0

    def now(self) -> Instant:
        return Instant(self.monotonic, self.monotonic)

    async def sleep(self, seconds: float) -> None:
        self.monotonic += seconds


def test_the_same_is_said_once_in_ten_seconds_and_then_counted() -> None:
    clock = HandClock()
    with capture_logs() as said:
        complaints = Complaints(clock)
        for _ in range(100):
            complaints.warn("bad message", pid=1)
        complaints.warn("too many connections")
        clock.monotonic += 10
        complaints.warn("bad message", pid=2)
    assert [(line["event"], line["unsaid"]) for line in said] == [
        ("bad message", 0),
        ("too many connections", 0),
        ("bad message", 99),
    ]


def test_a_defect_is_said_with_its_error_and_not_for_each_request() -> None:
    first, other = KeyError("web"), ValueError("other")
    with capture_logs() as said:
        complaints = Complaints(HandClock())
        for _ in range(100):
            complaints.defect("request failed", first, request="Status")
        complaints.defect("request failed", other)
    assert [line["exc_info"] for line in said] == [first, other]
    assert said[0]["request"] == "Status"


def test_a_peer_is_told_what_failed_and_where_to_look() -> None:
    error = DefectError("Status", KeyError("secret"))
    assert str(error) == (
        "cannot carry out Status: a defect of virtsupd (KeyError); its log says where"
    )
    assert error.code == "internal"
