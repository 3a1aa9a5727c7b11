"""What is left of the program before: taken once, renamed, closed in the end."""

import os

import pytest

from virtsupd.process.inheritance import Inheritance
from virtsupd.process.reexec import Handover


def opened() -> int:
    return os.open(os.devnull, os.O_RDONLY)


def test_without_a_handover_there_is_nothing() -> None:
    empty = Inheritance()
    assert not empty.is_there
    assert empty.take("lock") is None
    assert empty.take_all("socket") == {}
    assert empty.fact("sockets") == {}
    empty.close()


def test_each_descriptor_is_taken_once_and_the_rest_is_closed() -> None:
    lock, web, rest = opened(), opened(), opened()
    descriptors = {"lock": lock, "socket web stream /a": web, "notify app": rest}
    inherited = Inheritance(
        Handover(descriptors, {"sockets": {"web": []}, "since": 1.5}, frozenset())
    )
    assert inherited.is_there
    assert (inherited.take("lock"), inherited.take("lock")) == (lock, None)
    assert inherited.take_all("socket") == {"web stream /a": web}
    assert inherited.fact("sockets") == {"web": []}
    assert inherited.fact("since") == {}
    inherited.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(rest)
    for kept in (lock, web):
        os.close(kept)


def test_what_was_one_service_s_becomes_another_s() -> None:
    descriptors = {"notify web": 101, "socket web stream /web": 102, "notify website": 103}
    inherited = Inheritance(Handover(descriptors, {}, frozenset()))
    inherited.rename("web", "front")
    assert inherited.take("notify front") == 101
    assert inherited.take("socket front stream /web") == 102
    assert inherited.take("notify website") == 103
