"""A command is open until each of its services has its report."""

from virtsupd.core.effects import Report, Result
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.core.ticket import Ticket

A, B = Name("a"), Name("b")


def test_reports_come_in_the_order_asked_whatever_ends_first() -> None:
    ticket = Ticket(Verb.START, (B, A), open={A, B})
    ticket.close(Report(A, Result.DONE, "a"))
    assert ticket.open == {B}
    ticket.close(Report(B, Result.FAILED, "b"))
    assert not ticket.open
    assert [report.name for report in ticket.reports()] == ["b", "a"]
