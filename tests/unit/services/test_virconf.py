"""Written and read back; `tests/component/test_libvirt_accepts.py` asks libvirt about the same."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtsupd.errors import ConfigError
from virtsupd.services.libvirt_values import log_filters, socket_mode
from virtsupd.services.virconf import Setting, conf_string, parse, value_text

DEBIAN_LINES = """
# Master configuration file
#listen_tls = 0
unix_sock_group = "libvirt"
tls_allowed_dn_list = ["DN1", "DN2"]   # two
sasl_allowed_username_list = [
  "joe@EXAMPLE.COM",
  "fred@EXAMPLE.COM",
]
\taccess_drivers=[ 'polkit' ] ; max_clients=+5;
log_filters = \"\"\"1:a
4:b\"\"\"
keepalive_interval = -1
"""


def storable(text: str) -> bool:
    try:
        conf_string(text)
    except ValueError:
        return False
    return True


strings = st.text(st.sampled_from("ab'\" #;,[]=\\é")).filter(storable)


def values(text: str) -> dict[str, object]:
    return {key: setting.value for key, setting in parse(text, "f").items()}


def test_everything_that_libvirt_reads_is_read() -> None:
    assert values(DEBIAN_LINES) == {
        "unix_sock_group": "libvirt",
        "tls_allowed_dn_list": ["DN1", "DN2"],
        "sasl_allowed_username_list": ["joe@EXAMPLE.COM", "fred@EXAMPLE.COM"],
        "access_drivers": ["polkit"],
        "max_clients": 5,
        "log_filters": "1:a\n4:b",
        "keepalive_interval": -1,
    }


@pytest.mark.parametrize("text", ["", "\n", "  ", "#", "# x\r\n\r\n"])
def test_a_file_may_say_nothing(text: str) -> None:
    assert parse(text, "f") == {}


def test_of_equal_keys_the_first_counts_as_in_libvirt() -> None:
    assert parse("a = 1\n\na = 2\n", "f") == {"a": Setting(1, 1)}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1 b = 2", 1),
        ("\na-b = 2", 2),
        ("_a = 1", 1),
        ("a 1", 1),
        ("a =\n1", 1),
        ("a = yes", 1),
        ('a = "x\n"', 1),
        ("a = 'x", 1),
        ('a = "x\\"y"', 1),
        ("a = [1", 1),
        ('a = ["x" "y"]', 1),
        ('a = ["x", # no\n"y"]', 1),
        ("a = [[]]", 1),
        ("a = [,]", 1),
        ("a = 1;;", 1),
        ("a = 1\n\0", 2),
        ("a = 5x", 1),
        ("\ufeffa = 1", 1),
        ("a = " + "1" * 5000, 1),
    ],
)
def test_what_libvirt_cannot_read_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "/etc/x.conf")
    assert caught.value.problems[0].startswith(f"/etc/x.conf:{line}: ")


@given(st.text(st.sampled_from("ab01\"'[]=,;# \n\r\\-+_\0é")))
def test_no_text_is_met_with_anything_but_a_refusal(text: str) -> None:
    with suppress(ConfigError):
        parse(text, "f")


@given(st.lists(strings), strings, st.integers(-(2**31), 2**32 - 1))
def test_what_is_written_is_read_back(many: list[str], one: str, number: int) -> None:
    lines = {"many": tuple(many), "one": one, "number": number}
    text = "".join(f"{key} = {value_text(value)}\n" for key, value in lines.items())
    assert values(text) == {"many": many, "one": one, "number": number}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "1"),
        (-1, "-1"),
        ("it's", '"it\'s"'),
        ('say "hi"', "'say \"hi\"'"),
        ("a\"b'c", '"""a"b\'c"""'),
        (("a", ""), '["a", ""]'),
        (log_filters("1:qemu  4:util"), '"1:qemu 4:util"'),
        (socket_mode("700"), '"0700"'),
    ],
)
def test_a_value_is_written_as_libvirt_reads_it(value: object, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize("value", ["a\nb", "a\0b", "a\tb", 'it\'s """', 'it\'s "x"', 5, None])
def test_strings_that_the_file_cannot_hold_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a string"):
        conf_string(value)
