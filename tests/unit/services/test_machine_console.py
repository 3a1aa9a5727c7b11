import pytest

from virtsupd.services import machine_console


@pytest.mark.parametrize(
    "words", [["--escape", "]"], ["--escape", "^1"], ["--wait", "-1"], ["now"]]
)
def test_words_that_mean_nothing_are_refused(
    words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert machine_console.main(["m", "/nowhere/serial", "/nowhere/log", *words]) == 2
    assert capfd.readouterr().err.startswith("cannot have the console of m: ")
