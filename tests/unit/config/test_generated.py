"""What a service reads of generated files belongs to its definition."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.config.generated import is_secret, reading, settings
from virtsupd.config.settings import GeneratedFile
from virtsupd.core.made import Made, fingerprint, made_from
from virtsupd.core.names import Name
from virtsupd.core.spec import LogSpec, ProcessSpec, Reload, ServiceSpec

WEB = ServiceSpec(
    Name("web"),
    (Name("web"),),
    process=ProcessSpec(("run",), LogSpec("")),
    reload=Reload("SIGUSR1"),
)
FILE = GeneratedFile(
    Path("/run/web.conf"), 0o644, "# head\nlevel = 1\nsize = 2\n", Name("web"), frozenset({"level"})
)


def with_content(content: str) -> ServiceSpec:
    return reading(WEB, replace(FILE, content=content))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('# head\na = 1\n\nb_c = "x = y"\n', {"a": "1", "b_c": '"x = y"'}),
        ("a = 1\n# b = []\n", {"a": "1"}),
        ("# b = []\n", {}),
        ('{"a": 1}\n', {"": '{"a": 1}\n'}),
        ("a = 1\nelse\n", {"": "a = 1\nelse\n"}),
        ("# only words\n", {"": "# only words\n"}),
        ("", {"": ""}),
        ('a = "x\u2028y"\n', {"a": '"x\u2028y"'}),
    ],
)
def test_settings_are_read_line_by_line(content: str, found: dict[str, str]) -> None:
    assert settings(replace(FILE, content=content)) == found


def test_what_is_read_once_makes_another_process() -> None:
    first, other = with_content("level = 1\nsize = 2\n"), with_content("level = 1\nsize = 3\n")
    assert fingerprint(first) != fingerprint(other)
    assert made_from(first).reread == made_from(other).reread


def test_what_is_read_again_does_not() -> None:
    first, other = with_content("level = 1\nsize = 2\n"), with_content("level = 9\nsize = 2\n")
    assert fingerprint(first) == fingerprint(other)
    assert made_from(first).reread != made_from(other).reread


def test_comments_and_order_are_no_change() -> None:
    other = with_content("# another head\nsize = 2\nlevel = 1\n")
    assert other == reading(WEB, FILE)


def test_without_a_reload_all_is_read_once() -> None:
    plain = replace(WEB, reload=None)
    other = reading(plain, replace(FILE, content="level = 9\nsize = 2\n"))
    assert fingerprint(reading(plain, FILE)) != fingerprint(other)


def test_a_file_without_keys_is_read_as_a_whole() -> None:
    assert fingerprint(with_content("{}")) != fingerprint(with_content("[]"))


def test_what_has_no_process_reads_nothing() -> None:
    target = replace(WEB, process=None)
    assert reading(target, FILE) is target


def test_only_what_everybody_may_read_is_no_secret() -> None:
    assert not is_secret(FILE)
    assert is_secret(replace(FILE, mode=0o640))


HOST = "[virtlog]\nlog_level = {level}\nmax_clients = {clients}\n"


def test_the_loader_lets_readers_differ_when_their_files_do(folder: Folder) -> None:
    def made(**values: int) -> Made:
        text = HOST.format(**{"level": 3, "clients": 100} | values)
        return made_from(folder.service(text, "virtlogd"))

    assert made() == made()
    assert made(clients=200).fingerprint != made().fingerprint
    assert made(clients=200).reread == made().reread
    assert made(level=1).fingerprint == made().fingerprint
    assert made(level=1).reread != made().reread


def test_a_reader_may_have_another_name(folder: Folder) -> None:
    text = '[service.virtlogd]\nprovides = ["logs", "virtlogd"]\n'
    one, two = (
        folder.service(HOST.format(level=3, clients=clients) + text, "logs") for clients in (1, 2)
    )
    assert fingerprint(one) != fingerprint(two)
