"""The fields of Ganeti's daemons, and the flags they become."""

import pytest
from pydantic import ValidationError

from virtsupd.services.ganeti_tables import (
    ConfdTable,
    DaemonTable,
    KvmdTable,
    LuxidTable,
    MetadTable,
    MondTable,
    NodedTable,
    RapiTable,
    WconfdTable,
)
from virtsupd.services.render import options


@pytest.mark.parametrize(
    ("table", "flags"),
    [
        (
            NodedTable(),
            {
                "--port=1811",
                "--bind=0.0.0.0",
                "--max-clients=20",
                "--ssl-key=/var/lib/ganeti/server.pem",
                "--ssl-cert=/var/lib/ganeti/server.pem",
            },
        ),
        (NodedTable.model_validate({"mlock": False, "ssl": False}), {"--no-mlock", "--no-ssl"}),
        (ConfdTable(), {"--port=1814", "--bind=0.0.0.0"}),
        (ConfdTable.model_validate({"syslog": "only"}), {"--syslog=only"}),
        (WconfdTable(), set()),
        (WconfdTable.model_validate({"no_voting": True}), {"--no-voting", "--yes-do-it"}),
        (LuxidTable.model_validate({"no_voting": True}), {"--no-voting", "--yes-do-it"}),
        (
            RapiTable.model_validate({"require_authentication": True}),
            {
                "--require-authentication",
                "--port=5080",
                "--ssl-key=/var/lib/ganeti/rapi.pem",
                "--ssl-cert=/var/lib/ganeti/rapi.pem",
            },
        ),
        (KvmdTable.model_validate({"debug": True}), {"--debug"}),
        (MondTable.model_validate({"address": "::1"}), {"--port=1815", "--bind=::1"}),
        (MetadTable(), {"--port=80"}),
    ],
    ids=repr,
)
def test_fields_become_the_flags_of_the_specification(table: DaemonTable, flags: set[str]) -> None:
    found = set(options(table))
    assert flags <= found
    assert flags or not found


def test_the_default_address_makes_room_for_an_interface() -> None:
    assert NodedTable().listens_at == "0.0.0.0"
    assert NodedTable.model_validate({"interface": "eth1"}).listens_at is None
    both = NodedTable.model_validate({"interface": "eth1", "address": "192.0.2.1"})
    assert both.listens_at == "192.0.2.1", "which the kind refuses"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", 0),
        ("port", 65536),
        ("port", "1811"),
        ("max_clients", 0),
        ("address", "a b"),
        ("portt", 1),
    ],
)
def test_values_that_no_daemon_takes_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        NodedTable.model_validate({key: value})
