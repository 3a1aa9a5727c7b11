"""What kinds know of their services, laid over what the engine says."""

from tests.support.pure_host import PureHost, service, target

from virtsupd.config.kinds import Remark
from virtsupd.core.exits import ExitStatus
from virtsupd.core.names import Name
from virtsupd.daemon.remarks import explained, remarked

NOT_MASTER = {Name("luxid"): Remark("not the master; node1 is")}


def not_needed() -> PureHost:
    host = PureHost.of(service("luxid", not_needed_exit=frozenset({11})))
    host.exits("luxid", ExitStatus(code=11))
    return host


def test_why_a_service_is_down_comes_before_what_the_engine_saw() -> None:
    host = not_needed()
    found = remarked(host.engine.snapshot(Name("luxid")), NOT_MASTER)
    assert found.reason is not None
    said = "not the master; node1 is (not needed here: exited with code 11)"
    assert found.reason.text == said
    link = explained(host.engine.why(Name("luxid")), NOT_MASTER).links[0]
    assert link.why.startswith("not the master; node1 is (")
    assert link.snapshot.reason is not None
    assert link.snapshot.reason.text == said


def test_what_somebody_stopped_tells_it_too() -> None:
    host = PureHost.of(service("luxid"))
    host.stop("luxid")
    found = remarked(host.engine.snapshot(Name("luxid")), NOT_MASTER)
    assert found.reason is not None
    assert found.reason.text.startswith("not the master; node1 is (stopped by ")


def test_what_runs_says_it_of_itself() -> None:
    host = PureHost.of(target("ganeti"))
    remarks = {Name("ganeti"): Remark("master of lab", ("daemon-util is missing",))}
    found = remarked(host.engine.snapshot(Name("ganeti")), remarks)
    assert found.status_text == "master of lab"
    assert found.warnings == ("daemon-util is missing",)


def test_a_warning_alone_leaves_the_rest_as_it_is() -> None:
    host = not_needed()
    before = host.engine.snapshot(Name("luxid"))
    found = remarked(before, {Name("luxid"): Remark(warnings=("look here",))})
    assert (found.reason, found.warnings) == (before.reason, ("look here",))
    assert remarked(before, {}) is before
