"""What outlives a virtsupd of the simulation: its files."""

from dataclasses import dataclass, field

from tests.simulation.power import Power


@dataclass(slots=True)
class Disk:
    """What outlives virtsupd: the records in the run directory, and the state directory."""

    records: dict[str, bytes] = field(default_factory=dict)
    state: dict[str, bytes] = field(default_factory=dict)
    boot_id: str = "boot-1"


@dataclass(slots=True)
class Files:
    """Files that are written as a whole or not at all, by who may die before or after it."""

    files: dict[str, bytes]
    power: Power

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.files))

    def place(self, name: str) -> str:
        return name

    def read(self, name: str) -> bytes:
        if name not in self.files:
            raise FileNotFoundError(name)
        return self.files[name]

    def write(self, name: str, content: bytes, *, is_lasting: bool = False) -> None:
        self.power.strike()
        self.files[name] = content
        self.power.strike()

    def remove(self, name: str) -> None:
        self.power.strike()
        self.files.pop(name, None)
        self.power.strike()
