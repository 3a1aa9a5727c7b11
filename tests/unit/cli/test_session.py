import json

from tests.support.scripted_client import Run


def test_a_document_is_indented_for_people_and_one_line_for_programs() -> None:
    person, program = Run(["status"], {}, terminal=True), Run(["status"], {})
    for run in (person, program):
        run.session.say_json({"a": [1, "é"]})
        assert json.loads(run.out) == {"a": [1, "é"]}
    assert person.out.count("\n") > 1
    assert program.out.count("\n") == 1


def test_quiet_silences_answers_and_not_complaints() -> None:
    run = Run(["-q", "status"], {})
    run.session.say("x")
    run.session.complain("y")
    assert (run.out, run.err) == ("", "y\n")


def test_the_deadline_is_one_for_the_whole_run() -> None:
    run = Run(["-t", "50", "status"], {"Status": [{}], "Log": [{}, {}]})
    left = []
    run.session.call("Status")
    left.append(run.client.timeout or 0)
    left.extend(run.client.timeout or 0 for _ in run.session.stream("Log"))
    assert 0 < left[-1] <= left[0] <= 50


def test_without_a_deadline_answers_may_take_for_ever() -> None:
    run = Run(["status"], {"Status": [{}]})
    run.session.call("Status")
    assert run.client.timeout is None


def test_a_deadline_that_is_over_leaves_no_time() -> None:
    run = Run(["-t", "0", "status"], {"Status": [{}]})
    run.session.call("Status")
    assert run.client.timeout == 0


def test_closing_closes_the_client() -> None:
    run = Run(["status"], {})
    run.session.close()
    assert run.client.is_closed
