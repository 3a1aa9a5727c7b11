"""Where nobody speaks with libvirt, a guest cannot be started, and the rest needs no doing."""

import pytest

from virtsupd.core.domain import DomainSpec, GuestStop
from virtsupd.core.effects import EndDomain, EndWatches, StartDomain
from virtsupd.core.events import Event, Gone, SpawnFailed
from virtsupd.core.names import Name
from virtsupd.core.spec import Readiness
from virtsupd.supervisor.domain_work import NoDomains

WEB, WEB1 = Name("web"), DomainSpec("web1")


def test_a_start_fails_for_good_and_nothing_is_left_of_it() -> None:
    domains, posted = NoDomains(), list[Event]()
    domains.start(StartDomain(WEB, 3, WEB1, Readiness()), posted.append)
    (failed,) = posted
    assert isinstance(failed, SpawnFailed)
    assert (failed.generation, failed.is_permanent) == (3, True)
    assert not domains.has(WEB)
    domains.forget(WEB)
    domains.end(EndDomain(WEB, 3, WEB1, GuestStop.SAVE), posted.append)
    assert posted[1:] == [Gone(WEB, 3)]


def test_there_is_nothing_to_watch() -> None:
    with pytest.raises(AssertionError):
        NoDomains().watch(EndWatches(WEB, 1), lambda _event: None)
