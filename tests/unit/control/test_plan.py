"""The names that a plan gives to programs which want no more."""

from virtsupd.control.plan import Plan, Step
from virtsupd.core.forecast import Fate
from virtsupd.core.names import Name


def test_names_are_sorted_by_what_becomes_of_them() -> None:
    steps = [Step(Name(fate), "service", fate) for fate in Fate]
    changed = Step(Name("x"), "service", Fate.UNCHANGED, is_changed=True)
    plan = Plan((*steps, changed))
    assert plan.added == ("started", "added")
    assert plan.removed == ("stopped", "forgotten")
    assert plan.pending == ("pending",)
    assert plan.reloaded == ("reloaded",)
    assert plan.changed == ("x",)
