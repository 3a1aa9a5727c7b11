import pytest
from tests.support.scripted_client import Run

from virtsupd.cli import completion
from virtsupd.cli.arguments import UsageError
from virtsupd.cli.verbs import VERBS

SHOWN = [verb for verb in VERBS if not verb.is_hidden]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_a_script_knows_every_verb_and_option(shell: str) -> None:
    run = Run(["completion", shell], {})
    assert completion.run(run.session) == 0
    for verb in SHOWN:
        assert verb.name in run.out
        for option in verb.options:
            assert option.name.removeprefix("--") in run.out
    assert "complete-names" in run.out
    assert run.client.calls == []


def test_a_shell_we_have_no_script_for_is_refused() -> None:
    with pytest.raises(UsageError, match="'tcsh': bash, zsh or fish"):
        completion.run(Run(["completion", "tcsh"], {}).session)


def test_quotes_in_words_are_escaped_for_each_shell() -> None:
    assert "service'\\''s" not in completion.bash()
    assert "services'\\''" in completion.zsh()
    assert "services\\'" in completion.fish()
