from virtsupd.config.layers import below, combined
from virtsupd.config.problems import Layer


def test_layers_below_a_key_keep_their_place_in_the_file() -> None:
    layers = [Layer("a", {"x": {"y": {"z": 1}}}), Layer("b", {"x": 3}), Layer("c", {})]
    assert below(layers, "x", "y") == (Layer("a", {"z": 1}, ("x", "y")),)


def test_later_layers_win_key_by_key() -> None:
    assert combined([Layer("a", {"x": {"y": 1, "z": 1}}), Layer("b", {"x": {"y": 2}})]) == {
        "x": {"y": 2, "z": 1}
    }
    assert combined(()) == {}
