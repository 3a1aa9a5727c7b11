import pytest

from virtsupd.services.action_program import UsageError
from virtsupd.services.machine_qmp import main, request


def test_values_are_json_and_texts_where_they_are_none() -> None:
    pairs = ["id=net0", "up=false", "size=12", 'list=["a"]', "empty=", "eq=a=b", "nan=NaN"]
    assert request("set_link", pairs) == (
        "set_link",
        {
            "id": "net0",
            "up": False,
            "size": 12,
            "list": ["a"],
            "empty": "",
            "eq": "a=b",
            "nan": "NaN",
        },
    )
    assert request("query-status", []) == ("query-status", None)


def test_a_whole_request_is_taken_too() -> None:
    text = '{"execute": "stop", "arguments": {"a": 1}}'
    assert request(text, []) == ("stop", {"a": 1})


@pytest.mark.parametrize(
    ("command", "pairs"),
    [
        ("stop", ["now"]),
        ("stop", ["=1"]),
        ("{", []),
        ('{"execute": 1}', []),
        ('{"execute": "a", "arguments": [1]}', []),
        ('{"execute": "a"}', ["b=1"]),
        ('{"execute": "a", "arguments": {"b": NaN}}', []),
        ('{"execute":' + "[" * 100_000, []),
        ("stop\udcff", []),
        ("stop", ["a=\udcff"]),
    ],
)
def test_what_is_no_request_is_told(command: str, pairs: list[str]) -> None:
    with pytest.raises(UsageError):
        request(command, pairs)


@pytest.mark.parametrize("words", [[], ["stop", "--timeout", "0"], ["stop", "--timeout", "nan"]])
def test_wrong_words_end_as_wrong_words_of_virtsupctl_do(words: list[str]) -> None:
    assert main(["m", "/nowhere/monitor", *words]) == 2


def test_without_a_machine_it_says_what_to_type(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["m", "/nowhere/monitor", "stop"]) == 1
    expected = "cannot ask the monitor of m: it is not running; virtsupctl start m\n"
    assert capfd.readouterr().err == expected
