"""The built-in units: one TOML file each, shipped inside the package."""

from functools import cache
from pathlib import Path
from typing import Any

from virtsupd.config.files import read_toml
from virtsupd.core.names import Name, file_name

_PACKAGE = Path(__file__).parent.parent
_CHECKOUT = _PACKAGE.parent.parent


@cache
def unit_dir() -> Path:
    """Return the directory of the built-in units: of the installed package, or of a checkout."""
    # importlib.resources would cost more imports than the whole of this module.
    installed = _PACKAGE / "units"
    return installed if installed.is_dir() else _CHECKOUT / "units"


@cache
def unit_names() -> frozenset[str]:
    """Return the names of all built-in units."""
    return frozenset(name_of(path) for path in unit_dir().glob("*.toml"))


def unit_path(name: str) -> Path:
    """Return the file of a built-in unit."""
    return unit_dir() / f"{file_name(Name(name))}.toml"


def read_unit(name: str) -> dict[str, Any]:
    """Return the keys of a built-in unit.

    Raises:
        ConfigError: the file is damaged.
    """
    return read_toml(unit_path(name))


def name_of(path: Path) -> str:
    """Return the name of the service that a unit file is about."""
    return path.name.removesuffix(".toml").replace("%2F", "/").replace("%25", "%")
