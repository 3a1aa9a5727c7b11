from virtsupd.cli.usage import EXIT_STATUS, of_verb, overview, short
from virtsupd.cli.verbs import VERB_BY_NAME, VERBS


def test_the_overview_names_every_verb_but_the_hidden_ones() -> None:
    lines = overview().splitlines()
    for verb in VERBS:
        shown = any(line.startswith(f"  {verb.name} ") for line in lines)
        assert shown != verb.is_hidden, verb.name


def test_the_overview_fits_a_terminal() -> None:
    assert max(map(len, overview().splitlines())) <= 100


def test_the_overview_names_every_exit_status() -> None:
    assert [code for code, _ in EXIT_STATUS] == [*range(8), 130, 141]


def test_the_help_of_a_verb_shows_its_options_and_the_common_ones() -> None:
    text = of_verb(VERB_BY_NAME["log"])
    assert text.startswith("usage: virtsupctl [OPTION…] log [NAME…]\n\nPrint the end of")
    assert "-n, --lines N" in text
    assert "-s, --socket PATH" in text


def test_quit_says_what_becomes_of_the_services() -> None:
    assert "The next virtsupd takes them over." in of_verb(VERB_BY_NAME["quit"])


def test_the_short_usage_says_where_the_long_one_is() -> None:
    assert "--help" in short()
