import pytest

from virtsupd.process.question import QuestionError, answer_of, asked


@pytest.mark.process
def test_an_answer_is_what_a_command_prints() -> None:
    assert answer_of(["/bin/echo", "hé"], timeout_seconds=5.0) == "hé\n"


@pytest.mark.process
@pytest.mark.parametrize(
    "command", [["/no/such/program"], ["/bin/false"], ["/bin/sh", "-c", "echo half; exit 3"]]
)
def test_a_command_that_fails_has_no_answer(command: list[str]) -> None:
    assert answer_of(command, timeout_seconds=5.0) is None


@pytest.mark.process
def test_nobody_waits_longer_than_he_said() -> None:
    assert answer_of(["/bin/sleep", "1000"], timeout_seconds=0.05) is None


@pytest.mark.process
def test_who_asks_is_told_what_went_wrong() -> None:
    with pytest.raises(QuestionError, match="/bin/sh failed: why") as failed:
        asked(["/bin/sh", "-c", "echo half; echo why >&2; exit 3"], timeout_seconds=5.0)
    assert (failed.value.complaint, failed.value.is_late) == ("why", False)
    with pytest.raises(QuestionError, match="no answer within") as late:
        asked(["/bin/sleep", "1000"], timeout_seconds=0.05)
    assert late.value.is_late
    with pytest.raises(QuestionError, match="/no/such cannot be run: no such file"):
        asked(["/no/such"], timeout_seconds=5.0)
