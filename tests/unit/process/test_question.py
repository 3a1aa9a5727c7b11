import pytest

from virtsupd.process.question import answer_of


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
