from typing import Annotated

from pydantic import BaseModel

from virtsupd.services.libvirt_limits import LogTable
from virtsupd.services.render import (
    ConfKey,
    Gone,
    Option,
    conf_text,
    gone_warnings,
    marked,
    options,
)


class Toy(BaseModel):
    """One field of each sort."""

    path: str = "/unmarked"
    name: Annotated[str, ConfKey()] = 'say "hi"'
    flag: Annotated[bool, ConfKey("other_name")] = True
    count: Annotated[int, ConfKey()] = -1
    empty: Annotated[tuple[str, ...], ConfKey()] = ()
    many: Annotated[tuple[str, ...], ConfKey()] = ("a", "it's")
    uuid: Annotated[str, ConfKey(omit_empty=True)] = ""
    blank: Annotated[str, ConfKey()] = ""
    bind: Annotated[str | None, Option("--bind")] = None
    debug: Annotated[bool, Option("--debug")] = False
    tls: Annotated[bool, Option("--no-tls", if_false=True)] = True
    voting: Annotated[bool, Option("--no-voting", with_it="--yes-do-it")] = False
    old: Annotated[int, Gone("nobody reads it")] = 5


def test_fields_become_the_keys_they_name() -> None:
    assert conf_text(Toy()).splitlines()[1:] == [
        "name = 'say \"hi\"'",
        "other_name = 1",
        "count = -1",
        "# empty = []",
        'many = ["a", "it\'s"]',
        '# uuid = ""',
        'blank = ""',
    ]


class MonolithTable(LogTable, Toy):
    """What one table says to all daemons."""


class SplitDaemon(LogTable):
    """What one of them reads."""


def test_one_table_serves_the_files_of_several_daemons() -> None:
    table = MonolithTable.model_validate({"log_level": 2, "count": 7})
    assert [
        line.partition(" = ")[0] for line in conf_text(table, SplitDaemon).splitlines()[1:]
    ] == [
        "log_level",
        "log_filters",
        "log_outputs",
    ]
    for part in (SplitDaemon, Toy):
        assert set(conf_text(table, part).splitlines()) <= set(conf_text(table).splitlines())
    assert "log_level = 2" in conf_text(table, SplitDaemon)
    assert "count = 7" in conf_text(table, Toy)


def test_fields_become_the_options_they_name() -> None:
    assert options(Toy()) == ()
    assert options(Toy(bind="::1", debug=True)) == ("--bind=::1", "--debug")
    assert options(Toy(tls=False)) == ("--no-tls",)
    assert options(Toy(voting=True)) == ("--no-voting", "--yes-do-it")


def test_a_field_that_nothing_reads_is_named_when_it_says_something() -> None:
    assert list(gone_warnings(Toy(old=5))) == []
    assert list(gone_warnings(Toy(old=6))) == [(("old",), "has no effect: nobody reads it")]


def test_marks_are_found_in_the_order_of_declaration() -> None:
    assert [name for name, _ in marked(Toy, Option)] == ["bind", "debug", "tls", "voting"]
