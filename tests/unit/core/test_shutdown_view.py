"""What a shutdown waits for, and until when."""

from tests.support.pure_host import PureHost, service

from virtsupd.core.events import GuestEnded, GuestsFound, Verb
from virtsupd.core.host_scope import Phase
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd, RunningGuest, ShutdownPolicy
from virtsupd.core.shutdown_view import ShutdownView, Waiting
from virtsupd.core.spec import Stop

VIRT = Name("virt")


def seen(host: PureHost) -> ShutdownView:
    found = host.engine.shutdown_view()
    assert found is not None
    return found


def host_of(policy: ShutdownPolicy | None = None) -> PureHost:
    host = PureHost.of(
        service("virt", hosts_guests=True, stop=Stop(signal="SIGINT", delay_seconds=3.0)),
        service("vm", is_guest=True),
        policy=policy,
    )
    host.stubborn.update(("vm", "virt"))
    host.ask(Verb.SHUTDOWN)
    return host


def test_without_a_shutdown_there_is_nothing_to_see() -> None:
    assert PureHost.of(service("db")).engine.shutdown_view() is None


def test_a_host_that_was_asked_is_waited_for() -> None:
    view = seen(host_of())
    assert (view.by, view.since, view.deadline, view.phase) == (
        "tester",
        1000.0,
        1840.0,
        Phase.GUESTS,
    )
    assert view.waits == (
        Waiting(VIRT, "asked", 1060.0, "left"),
        Waiting("vm", "SIGTERM", 1005.0, "SIGKILL", is_guest=True),
    )
    assert (view.guests, view.guests_ended) == (1, 0)


def test_guests_that_end_are_waited_for_and_counted() -> None:
    host = host_of()
    host.post(GuestsFound(VIRT, (RunningGuest("a"), RunningGuest("b", GuestEnd.KILL))))
    host.pass_time(5)
    view = seen(host)
    assert view.waits == (
        Waiting("a", "shutdown", 1300.0, "kill", host=VIRT, is_guest=True),
        Waiting("b", "kill", 1030.0, "left", host=VIRT, is_guest=True),
    )
    assert (view.guests, view.guests_ended) == (3, 1)
    host.post(GuestEnded(VIRT, "b", GuestEnd.KILL))
    assert seen(host).guests_ended == 2


def test_a_guest_may_be_left_after_its_time() -> None:
    host = host_of(ShutdownPolicy(overdue="leave"))
    host.post(GuestsFound(VIRT, (RunningGuest("a"),)))
    assert seen(host).waits[0].then == "left"


def test_services_that_end_are_waited_for() -> None:
    host = host_of()
    host.post(GuestsFound(VIRT))
    host.pass_time(5)
    view = seen(host)
    assert view.phase is Phase.SERVICES
    assert view.waits == (Waiting("virt", "SIGINT", 1008.0, "SIGKILL"),)
    host.unkillable.add("virt")
    host.pass_time(3)
    assert seen(host).waits == (Waiting("virt", "SIGKILL", 1018.0, "left"),)
    host.pass_time(10)
    view = seen(host)
    assert view.waits == ()
    assert view.left == ("virt: its processes are still there after SIGKILL",)
