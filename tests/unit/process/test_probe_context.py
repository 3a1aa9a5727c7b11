"""What a probe knows when nobody tells it anything."""

from virtsupd.core.names import Name
from virtsupd.process.clock import SystemClock
from virtsupd.process.probe_context import ProbeContext, only_news


def test_a_context_without_facts_owns_nothing() -> None:
    context = ProbeContext(name=Name("web"), clock=SystemClock())
    context.note("nobody listens to this")
    assert context.leader() is None
    assert not context.owns(1)


def test_a_reason_is_told_when_it_is_news() -> None:
    told: list[str] = []
    note = only_news(told.append)
    for reason in ("down", "down", "slow", "down"):
        note(reason)
    assert told == ["down", "slow", "down"]
