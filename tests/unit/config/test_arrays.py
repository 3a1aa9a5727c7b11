"""Arrays of tables: one entry may stand in several files, and makes a service."""

from collections.abc import Sequence

from tests.support.config_folder import Folder

from virtsupd.config.arrays import Array, read_array
from virtsupd.config.kinds import Built, Element, KindContext, KindParts, Made
from virtsupd.config.model import KindTable
from virtsupd.config.problems import Layer
from virtsupd.config.settings import HostSettings
from virtsupd.config.values import Count
from virtsupd.core.names import Name


class BoxTable(KindTable):
    """One box."""

    label: str
    shelf: str = "top"
    name: str = ""
    size: Count = 1


def build_boxes(boxes: Sequence[Element], context: KindContext) -> Built:
    """Make a service of each box; a box of size 0 is no box, one of size 9 is worth a word."""
    assert context.tables == {"box"}
    sizes = list(enumerate(element.table.size for element in boxes))
    return Built(
        {},
        tuple(
            Made(index, box.table.name or box.table.label, {"nice": box.table.size, "user": "x"})
            for index, box in enumerate(boxes)
        ),
        problems=tuple(((index, "size"), "is nothing") for index, size in sizes if size == 0),
        warnings=tuple(((), "one is large") for _, size in sizes if size == 9),
    )


PARTS = KindParts(BoxTable, build_boxes, identity=("label", "shelf"))


def read(*files: list[dict[str, object]]) -> Array:
    layers = [Layer(f"{number}.toml", {"box": boxes}) for number, boxes in enumerate(files)]
    context = KindContext(HostSettings(), {}, frozenset({"box"}))
    return read_array("box", PARTS, layers, context)


def test_every_entry_makes_a_service() -> None:
    found = read([{"label": "a", "size": 2}, {"label": "b"}])
    assert list(found.services) == ["a", "b"]
    (layer,) = found.services[Name("a")]
    assert layer == Layer("0.toml", {"nice": 2, "user": "x"}, ("box", 0), "a")
    assert layer.table == '[[box]] "a"'
    assert found.problems == ()


def test_an_entry_of_a_later_file_wins_key_by_key() -> None:
    found = read(
        [{"label": "a", "size": 2, "name": "first"}, {"label": "b"}],
        [{"label": "c"}, {"label": "a", "size": 3}],
    )
    assert list(found.services) == ["first", "b", "c"]
    assert [layer.file for layer in found.services[Name("first")]] == ["0.toml", "1.toml"]
    assert found.services[Name("first")][0].data["nice"] == 3


def test_another_identity_is_another_entry() -> None:
    found = read([{"label": "a"}, {"label": "a", "shelf": "low", "name": "other"}])
    assert list(found.services) == ["a", "other"]


def test_twice_in_one_file_is_a_slip() -> None:
    found = read([{"label": "a"}, {"label": "a", "shelf": "top"}])
    text = 'box "a": stands in this file twice; another file may add to it'
    assert found.problems == (f"0.toml: {text}",)


def test_what_is_wrong_is_said_with_the_file_and_the_entry() -> None:
    found = read(
        [{"label": "a", "size": "x"}, {"size": 1}, {"label": "b"}], [{"label": "b", "sise": 1}]
    )
    assert found.problems == (
        '0.toml: box "a": size: found "x", must be a whole number',
        "0.toml: box[2]: the key label is missing",
        '1.toml: box "b": sise: unknown key; did you mean size?',
    )
    assert list(found.refused) == ["a", "b"]
    assert found.services == {}


def test_a_name_that_cannot_be_told_is_nobodys() -> None:
    found = read([{"label": "not a name", "size": "x"}, {"label": "a", "name": "b", "size": "x"}])
    assert list(found.refused) == ["b"]


def test_faults_of_a_kind_are_about_an_entry_or_the_array() -> None:
    found = read(
        [{"label": "r", "size": "x"}, {"label": "a", "size": 9}, {"label": "b", "size": 0}]
    )
    (problem,) = found.built.problems
    assert found.at(problem) == '0.toml: box "b": size: is nothing'
    (warning,) = found.built.warnings
    assert found.at(warning) == "0.toml: box: one is large"


def test_what_others_say_of_an_entry_with_a_fault_is_not_looked_at() -> None:
    found = read([{"label": "a", "size": 9}, {"label": "b", "size": 0}])
    assert found.built.problems
    assert list(found.refused) == ["a", "b"]


def test_names_that_are_taken_are_refused() -> None:
    found = read([{"label": "a"}, {"label": "libvirtd"}], [{"label": "b", "name": "a"}])
    assert found.problems == (
        "0.toml: box \"libvirtd\": name: 'libvirtd' is a built-in service; say another name",
        '1.toml: box "b": name: \'a\' is already the name of [[box]] "a" in 0.toml',
    )


def test_a_table_where_an_array_belongs_is_refused(folder: Folder) -> None:
    assert folder.problems("[guest]\ndomain = 'a'\n") == [
        'host.toml: guest: found { domain = "a" }, must be an array of tables: [[guest]]'
    ]
    assert folder.problems("guest = ['a']\n[host]\n") == [
        'host.toml: guest[1]: found "a", must be a table: [[guest]]'
    ]
    assert folder.problems("guest = 'a'\n[host]\n") == [
        'host.toml: guest: found "a", must be an array of tables: [[guest]]'
    ]
    assert folder.load("guest = []\n[host]\n").specs == ()
