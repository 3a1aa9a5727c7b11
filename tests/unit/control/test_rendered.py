"""Texts are rendered once, and shared."""

import json
from dataclasses import replace

import pytest
from tests.support.hand_backend import HandBackend, link_of, snapshot_of, spec_of

from virtsupd.control import herd_replies
from virtsupd.control.backend import Change
from virtsupd.control.rendered import HerdRecords, Rendered, VarlinkRecords
from virtsupd.core.names import Name
from virtsupd.core.snapshot import ServiceSnapshot, State


class Counting:
    """Renders names, and counts."""

    def __init__(self) -> None:
        self.rendered: list[str] = []
        self.turns = 0

    def render(self, snapshot: ServiceSnapshot) -> bytes:
        self.rendered.append(snapshot.spec.name)
        return f"{snapshot.spec.name}={snapshot.state}".encode()

    async def turn(self) -> None:
        self.turns += 1


def services(count: int) -> list[ServiceSnapshot]:
    return [snapshot_of(spec_of(f"s{number}")) for number in range(count)]


async def test_only_what_changed_is_rendered_again() -> None:
    counting = Counting()
    texts = Rendered(counting.render, b",")
    three = services(3)
    first = await texts.all(three, counting.turn)
    equal = [replace(snapshot) for snapshot in three]
    assert await texts.all(equal, counting.turn) is first
    equal[1] = replace(equal[1], state=State.STOPPED)
    assert await texts.all(equal, counting.turn) == b"s0=running,s1=stopped,s2=running"
    assert counting.rendered == ["s0", "s1", "s2", "s1"]
    assert texts.one(equal[1]) == b"s1=stopped"


async def test_much_to_render_lets_others_have_their_turn() -> None:
    counting = Counting()
    await Rendered(counting.render, b",").all(services(100), counting.turn)
    assert counting.turns >= 5


async def test_services_that_are_gone_are_forgotten() -> None:
    counting = Counting()
    texts = Rendered(counting.render, b",")
    many = services(100)
    await texts.all(many, counting.turn)
    await texts.all(many[:1], counting.turn)
    texts.one(many[99])
    assert counting.rendered[100:] == ["s99"]


@pytest.mark.parametrize("count", [0, 1, 40])
async def test_the_status_in_pieces_is_herds_reply_whole(count: int) -> None:
    snapshots = services(count)
    facts = HandBackend().facts()
    records = HerdRecords()
    for shown in (snapshots, snapshots[:1]):
        parts = await records.status(shown, facts, Counting().turn)
        assert b"".join(parts) == herd_replies.render_root_status(shown, facts)


async def test_the_status_and_an_event_are_json() -> None:
    snapshots = services(2)
    records = VarlinkRecords()
    others = {Name("s1"): 3}
    parts = await records.status(snapshots, HandBackend().facts(), others, Counting().turn)
    status = json.loads(b"".join(parts))
    assert [found["name"] for found in status["services"]] == ["s0", "s1"]
    assert status["others"] == [{"name": "s1", "count": 3}]
    event = json.loads(b"".join(records.event(Change("service reloaded", snapshots[0]), 7.5)))
    assert (event["event"], event["at"]) == ("service reloaded", 7.5)
    assert event["service"]["name"] == "s0"


def test_a_link_shares_the_text_of_its_service() -> None:
    records = VarlinkRecords()
    snapshot = snapshot_of(spec_of("web"))
    link = json.loads(records.link(link_of(snapshot, why="late"), ["x"]))
    assert (link["service"]["name"], link["why"], link["log"]) == ("web", "late", ["x"])
