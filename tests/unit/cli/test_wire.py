import re
from pathlib import Path

import pytest

from virtsupd import control
from virtsupd.cli import wire

INTERFACE = Path(control.__path__[0]) / "org.virtsupd.Supervisor.varlink"
TYPES = (
    *("Exit", "Reason", "Change", "Action", "Service", "Daemon", "Report", "Event", "Process"),
    *("Next", "Link", "Explanation"),
)


def fields_of(name: str) -> list[str]:
    """Return the fields of a type as the interface has them."""
    text = "\n".join(line.partition("#")[0] for line in INTERFACE.read_text().splitlines())
    found = re.search(rf"type {name} \((.*?)\)", text, re.DOTALL)
    assert found, f"{name} is not in the interface"
    return [part.partition(":")[0].strip() for part in found[1].split(",")]


@pytest.mark.parametrize("name", TYPES)
def test_a_type_has_the_fields_of_the_interface(name: str) -> None:
    assert sorted(getattr(wire, name).__annotations__) == sorted(fields_of(name))
