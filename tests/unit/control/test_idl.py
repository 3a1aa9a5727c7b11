"""Interface descriptions are read, and values are checked against them."""

import pytest

from virtsupd.control.idl import Array, MismatchError, Optional, Struct, parse_interface

TEXT = """
# A comment (with: brackets).
interface org.example.Test
type Point (x: int, y: ?float)
method Draw(points: []Point, style: (width: int, names: [] string)) -> (ok: bool)
error Broken ()
"""


def test_a_description_is_read_whole() -> None:
    found = parse_interface(TEXT)
    assert found.name == "org.example.Test"
    assert found.types == {"Point": Struct({"x": "int", "y": Optional("float")})}
    assert found.methods["Draw"].parameters.fields["points"] == Array("Point")
    assert found.methods["Draw"].reply == Struct({"ok": "bool"})
    assert found.errors == {"Broken": Struct({})}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "interface",
        "interface a.b method",
        "interface a.b method M() ->",
        "interface a.b type T (x int)",
        "interface a.b type T (x: int y: int)",
        "interface a.b nonsense T ()",
        "interface a.b type T (x: !)",
    ],
)
def test_what_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|ends too early|no part"):
        parse_interface(text)


GOOD = {"points": [{"x": 1, "y": 0.5}, {"x": 2}], "style": {"width": 1, "names": ["a"]}}


def test_a_value_that_fits_passes() -> None:
    found = parse_interface(TEXT)
    found.check(GOOD, found.methods["Draw"].parameters)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"points": 1}, "points"),
        ({"points": [{"x": "1"}]}, "points[0].x"),
        ({"points": [{"x": True}]}, "points[0].x"),
        ({"points": [{"x": 1, "z": 1}]}, "points[0].z"),
        ({"points": [{"y": 1}]}, "points[0].x"),
        ({"points": [{"x": 1, "y": False}]}, "points[0].y"),
        ({"points": None}, "points"),
        ({"style": []}, "style"),
        ({"style": {"width": 1, "names": ["a", None]}}, "style.names[1]"),
        ({"other": 1}, "other"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], path: str) -> None:
    found = parse_interface(TEXT)
    with pytest.raises(MismatchError) as refusal:
        found.check(GOOD | change, found.methods["Draw"].parameters)
    assert refusal.value.path == path
