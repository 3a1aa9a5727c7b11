from pathlib import Path

from tests.support.config_folder import Folder

from virtsupd.config.drafts import (
    Draft,
    Findings,
    TurnedOn,
    built_in,
    host_layers,
    turned_on,
)
from virtsupd.config.kinds import Built, Kind, KindContext, KindParts
from virtsupd.config.model import KindTable
from virtsupd.config.problems import HostFault, Layer
from virtsupd.config.settings import HostSettings
from virtsupd.core.names import Name
from virtsupd.errors import ConfigError


class ToyTable(KindTable):
    """A kind with one key."""

    size: int = 1


def build_toy(table: ToyTable, context: KindContext) -> Built:
    """Turn virtlogd on, with everything a kind may answer."""
    assert context.units["virtlogd"]["command"] == ["virtlogd"]
    return Built(
        {"virtlogd": {"nice": table.size}},
        problems=((("size",), "is odd"),) if table.size % 2 else (),
        warnings=((("size",), "is even"),) if table.size % 2 == 0 else (),
        host_faults=lambda: ((("size",), "does not fit this host"),),
        host_remarks=lambda addresses: ((("size",), f"found {addresses}"),),
    )


TOYS = {"toy": Kind(("virtlogd",), lambda: KindParts(ToyTable, build_toy))}


def toys(data: dict[str, object]) -> tuple[dict[Name, tuple[Layer, ...]], Findings]:
    findings = Findings()
    found = turned_on([Layer("host.toml", data)], TOYS, HostSettings(), findings)
    return found.layers, findings


def test_a_draft_knows_where_it_is_from() -> None:
    draft = Draft(Name("web"), (Layer("a", {"x": 1}), Layer("b", {"x": 2}, ("service", "web"))))
    assert draft.data == {"x": 2}
    assert draft.sources == ("a", "b [service.web]")


def test_a_built_in_target_is_a_draft_of_one_layer() -> None:
    assert built_in(Name("loopback"), TurnedOn()).data["ready"]["check"] == "loopback"


def test_a_table_changes_a_target_only_where_something_pulls_it_in(tmp_path: Path) -> None:
    mount = "file-system-/proc/sys/fs/binfmt_misc"
    folder = Folder(tmp_path)
    assert folder.service("[qemu_binfmt]\n", mount).one_shot
    own = f'[service.own]\nprovides = ["own", "{mount}"]\n'
    assert {spec.name for spec in folder.load("[qemu_binfmt]\n" + own).specs} == {
        "qemu-binfmt",
        "own",
    }


def test_a_kind_changes_its_unit() -> None:
    layers, findings = toys({"toy": {"size": 2}})
    unit, changes = layers[Name("virtlogd")]
    assert unit.data["command"] == ["virtlogd"]
    assert changes == Layer("host.toml", {"nice": 2}, ("toy",))
    assert findings.warnings == ["host.toml: toy.size: is even"]
    (ask,) = findings.host_faults
    assert list(ask()) == [HostFault("host.toml: toy.size: does not fit this host", ("virtlogd",))]
    (ask_more,) = findings.host_remarks
    assert list(ask_more({"a": "b"})) == ["host.toml: toy.size: found {'a': 'b'}"]


def test_a_kind_can_refuse_its_table() -> None:
    assert toys({"toy": {"size": 3}})[1].problems == ["host.toml: toy.size: is odd"]
    layers, findings = toys({"toy": {"sise": 3}})
    assert findings.problems == ["host.toml: toy.sise: unknown key; did you mean size?"]
    assert layers[Name("virtlogd")][1].data == {}


def test_a_kind_without_its_table_is_off() -> None:
    assert toys({})[0] == {}


def test_what_cannot_be_read_is_noted_and_the_rest_goes_on(folder: Folder) -> None:
    folder.write("host.toml", "a = 1\n")
    folder.write("host.toml.d/1.toml", "x")
    folder.write("host.toml.d/2.toml", "b = 2\n")
    findings = Findings()
    layers = host_layers(folder.host, findings)
    assert [dict(layer.data) for layer in layers] == [{"a": 1}, {"b": 2}]
    assert len(findings.problems) == 1
    assert not findings.is_complete


def test_a_lost_file_leaves_all_its_problems() -> None:
    findings = Findings()
    findings.lost(ConfigError(("a", "b")))
    assert findings.problems == ["a", "b"]
