"""What is told of a guest reaches its service, and what is known already is not told again."""

from virtsupd.core.domain import DomainSpec, GuestNote
from virtsupd.core.events import Event, Told
from virtsupd.core.names import Name
from virtsupd.process.domains import DomainNews, DomainState
from virtsupd.supervisor.domain_guest import Guest

WEB = Name("web")


def guest() -> tuple[Guest, list[Event]]:
    posted: list[Event] = []
    return Guest(WEB, 7, DomainSpec("web1"), posted.append), posted


async def test_what_is_told_is_of_this_start() -> None:
    one, posted = guest()
    one.tell_waiting("libvirt is away")
    one.tell_denied("the disk is busy")
    one.tell_note(GuestNote.PAUSED)
    one.tell_unseen("libvirt was lost")
    assert posted == [
        Told(WEB, 7, "waiting", "libvirt is away"),
        Told(WEB, 7, "denied", "the disk is busy"),
        Told(WEB, 7, "status", "paused", GuestNote.PAUSED),
        Told(WEB, 7, "status", "not seen: libvirt was lost", GuestNote.UNSEEN),
    ]


async def test_a_status_that_is_no_news_is_not_told() -> None:
    one, posted = guest()
    for note in (None, GuestNote.PAUSED, GuestNote.PAUSED, None):
        one.tell_note(note)
    assert posted == [
        Told(WEB, 7, "status", "paused", GuestNote.PAUSED),
        Told(WEB, 7, "status", ""),
    ]


async def test_it_is_judged_only_while_it_is_seen_to_run() -> None:
    one, _ = guest()
    judged = [one.is_judged]
    one.is_up = True
    judged.append(one.is_judged)
    one.tell_note(GuestNote.PAUSED)
    judged.append(one.is_judged)
    one.tell_note(None)
    judged.append(one.is_judged)
    one.tell_unseen("libvirt was lost")
    judged.append(one.is_judged)
    assert judged == [False, True, False, True, False]


async def test_what_an_earlier_virtsupd_was_told_is_told_to_be_over() -> None:
    one, posted = guest()
    one.said = None
    one.tell_note(None)
    assert posted == [Told(WEB, 7, "status", "")]


async def test_another_process_is_another_guest_where_both_are_known() -> None:
    one, _ = guest()
    news = [DomainNews("web1", DomainState.RUNNING, "booted", pid) for pid in (None, 7, 8)]
    assert [one.is_another(told) for told in news] == [False] * 3
    one.pid = 7
    assert [one.is_another(told) for told in news] == [False, False, True]
