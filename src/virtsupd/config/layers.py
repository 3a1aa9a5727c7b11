"""What several files say of one table: the layers, later ones winning key by key."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

from virtsupd.config.files import merged
from virtsupd.config.problems import Layer


def combined(layers: Sequence[Layer]) -> Mapping[str, Any]:
    """Return what the layers say together."""
    tables = (layer.data for layer in layers)
    return reduce(merged, tables) if layers else {}


def below(layers: Iterable[Layer], *keys: str) -> tuple[Layer, ...]:
    """Return the tables at `keys` of those layers that have one."""
    found: list[Layer] = []
    for layer in layers:
        data: object = layer.data
        for key in keys:
            data = data.get(key) if isinstance(data, Mapping) else None
        if isinstance(data, Mapping):
            found.append(Layer(layer.file, data, (*layer.prefix, *keys)))
    return tuple(found)
