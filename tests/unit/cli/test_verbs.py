import re
from pathlib import Path

import pytest

from virtsupd.cli.verbs import ACTION, GLOBAL_OPTIONS, VERB_BY_NAME, VERBS, Option, Verb

MANUAL_PAGE = Path(__file__).resolve().parents[3] / "docs/man/virtsupctl.1"
SHOWN = [verb for verb in VERBS if not verb.is_hidden]


def test_verbs_have_names_of_their_own() -> None:
    assert len(VERB_BY_NAME) == len(VERBS)
    assert ACTION.name not in VERB_BY_NAME


def test_no_two_options_of_a_verb_share_a_spelling() -> None:
    for verb in VERBS:
        spellings = [
            spelling
            for option in (*GLOBAL_OPTIONS, *verb.options)
            for spelling in (option.short, option.name)
            if spelling
        ]
        assert len(set(spellings)) == len(spellings), verb.name


def test_an_option_sets_the_field_of_its_name() -> None:
    assert Option("--no-color", "").field == "no_color"


def test_hidden_verbs_are_those_of_the_completion_scripts() -> None:
    hidden = [verb.name for verb in VERBS if verb.is_hidden]
    assert hidden == ["complete-names", "complete-actions"]


@pytest.mark.parametrize("verb", SHOWN, ids=lambda verb: str(verb.name))
def test_the_manual_page_explains_every_verb_and_option(verb: Verb) -> None:
    page = MANUAL_PAGE.read_text().replace("\\-", "-")
    assert re.search(rf"^\.B[RI]* \"?{verb.name}\b", page, re.MULTILINE), f"{verb.name} is missing"
    for option in (*verb.options, *GLOBAL_OPTIONS):
        assert option.name in page
        assert not option.short or option.short in page
