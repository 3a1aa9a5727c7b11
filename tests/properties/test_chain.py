"""Whatever operators, crashes and reloads have led to, every service can be explained."""

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant
from tests.properties.test_engine import EngineMachine

from virtsupd.core.chain import why

# Shrinking what it found takes longer than a test may.
pytestmark = pytest.mark.timeout(120)


class ExplainedMachine(EngineMachine):
    """The random host of the engine's own test, asked after each step."""

    @invariant()
    def every_chain_ends_at_a_culprit(self) -> None:
        for name, _ in self.services():
            found = why(self.host.engine._host, name)
            links = {link.name for link in found.links}
            assert found.name == name
            assert len(links) == len(found.links), "named twice"
            for link in found.links:
                assert link.why, f"{link.name} has no reason"
                assert link.next.text, f"{link.name} has no future"
                assert links.issuperset(link.causes), f"a cause of {link.name} is not explained"
            assert found.links[0].is_well != bool(found.culprits), f"who is to blame for {name}?"


TestExplainedMachine = ExplainedMachine.TestCase
TestExplainedMachine.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, database=None
)
