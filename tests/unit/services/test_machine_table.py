"""What is said of any machine, and what goes without saying."""

import pytest

from virtsupd.services.machine_table import MachineTable


@pytest.mark.parametrize(
    ("keys", "options", "is_volatile"),
    [
        ({}, ("--snapshot",), True),
        ({"stateful": True}, (), False),
        ({"options": ("-k", "de")}, ("-k", "de"), False),
        ({"options": ("-snapshot",)}, ("-snapshot",), True),
    ],
)
def test_what_it_writes_is_kept_as_its_table_says(
    keys: dict[str, object],
    options: tuple[str, ...],
    is_volatile: bool,
) -> None:
    table = MachineTable.model_validate(keys)
    assert (table.more_options, table.is_volatile) == (options, is_volatile)
