import pytest

from virtsupd.services.machine_agent import main


@pytest.mark.parametrize(
    "words",
    [[], ["nosuch"], ["exec"], ["exec", "--timeout", "0", "--", "true"], ["{"], ["{}", "x"]],
)
def test_wrong_words_end_as_wrong_words_of_virtsupctl_do(words: list[str]) -> None:
    assert main(["m", "/nowhere/agent", *words]) == 2


@pytest.mark.parametrize("words", [["ping"], ["exec", "true"], ['{"execute": "guest-info"}']])
def test_without_a_machine_it_says_what_to_type(
    words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["m", "/nowhere/agent", *words]) == 1
    expected = "cannot ask the agent of m: it is not running; virtsupctl start m\n"
    assert capfd.readouterr().err == expected
