"""A folder with a host file in it, and what the loader makes of it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from virtsupd.config.load import Loaded, load
from virtsupd.core.spec import ServiceSpec
from virtsupd.errors import ConfigError
from virtsupd.services.registry import KINDS


@dataclass(frozen=True)
class Folder:
    """Where a test writes its files; `host.toml` is the one that is loaded."""

    path: Path

    @property
    def host(self) -> Path:
        return self.path / "host.toml"

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def load(self, text: str) -> Loaded:
        """Load `text` as the host file; `unit_dirs` is the folder's `units` unless it says more."""
        head = "" if "[host]" in text else f'[host]\nunit_dirs = ["{self.path}/units"]\n'
        self.write("host.toml", head + text)
        return load(self.host, KINDS)

    def service(self, text: str, name: str = "web") -> ServiceSpec:
        """Load `text` and return one service."""
        return next(spec for spec in self.load(text).specs if spec.name == name)

    def problems(self, text: str) -> list[str]:
        """Load `text`, which must be refused, and return why, with the folder's name taken out."""
        with pytest.raises(ConfigError) as caught:
            self.load(text)
        return [line.replace(f"{self.path}/", "") for line in caught.value.problems]
