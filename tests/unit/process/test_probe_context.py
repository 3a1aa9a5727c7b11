"""What a probe knows when nobody tells it anything."""

from virtsupd.core.names import Name
from virtsupd.process.clock import SystemClock
from virtsupd.process.probe_context import ProbeContext


def test_a_context_without_facts_owns_nothing() -> None:
    context = ProbeContext(name=Name("web"), clock=SystemClock())
    context.note("nobody listens to this")
    assert context.leader() is None
    assert not context.owns(1)
