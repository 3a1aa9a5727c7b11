"""A directory that stands for /etc/ganeti, and what is in it."""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from virtsupd.ganeti.configuration_settings import ConfigurationSettings
from virtsupd.ganeti.configuration_tree import configuration_settings
from virtsupd.ganeti.configure import configure, take_away
from virtsupd.ganeti.providers import GanetiOs


def tree_of(root: Path) -> dict[str, tuple[int, str]]:
    """Return everything below a directory: its mode, and a file's text or a link's target."""
    return {str(path.relative_to(root)): _entry(path) for path in sorted(root.rglob("*"))}


def _entry(path: Path) -> tuple[int, str]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return 0, str(path.readlink())
    return stat.S_IMODE(mode), path.read_text() if stat.S_ISREG(mode) else ""


@dataclass(frozen=True)
class Etc:
    """A directory of a test: `ganeti` in it stands for /etc/ganeti."""

    root: Path

    @property
    def ganeti(self) -> Path:
        return self.root / "ganeti"

    @property
    def record(self) -> Path:
        return self.root / "state/record.json"

    def settings(
        self, *oses: GanetiOs, paths: tuple[str, ...] = (), hooks: str | None = None
    ) -> ConfigurationSettings:
        """Return the settings of a configuration."""
        made = configuration_settings(
            oses,
            record=str(self.record),
            storage_paths=paths,
            hooks=hooks,
            directory=str(self.ganeti),
        )
        return ConfigurationSettings(
            made.record,
            made.directories,
            made.files,
            made.copies,
            made.links,
            made.executables,
            str(self.root / "dpkg-status"),
        )

    def configure(self, *oses: GanetiOs, paths: tuple[str, ...] = ()) -> list[str]:
        """Have a configuration there; return what was said."""
        return list(configure(self.settings(*oses, paths=paths)))

    def remove(self) -> list[str]:
        """Take all away; return what was left."""
        return list(take_away(self.record))

    def put(self, name: str, text: str, *, is_packaged: bool = False) -> Path:
        """Have a file there that is not virtsupd's; a package's, as dpkg knows it."""
        path = self.ganeti / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if is_packaged:
            digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
            with (self.root / "dpkg-status").open("a") as status:
                status.write(f"Package: some\nConffiles:\n {path} {digest}\n\n")
        return path
