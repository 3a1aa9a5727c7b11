import pytest
from pydantic import ValidationError

from virtsupd.config.model import (
    AccessTable,
    HostTable,
    KindTable,
    LogTable,
    RespawnTable,
    ServiceTable,
)


def test_empty_tables_are_fine() -> None:
    assert HostTable().run_dir == "/run/virtsupd"
    assert AccessTable().rule == ()
    assert ServiceTable().command is None
    assert KindTable().autostart


def test_words_stand_for_tables() -> None:
    table = ServiceTable.model_validate(
        {
            "respawn": True,
            "log": False,
            "reload": "HUP",
            "sockets": ["/run/x", 80],
            "environment_file": "/etc/x",
        }
    )
    assert table.respawn == RespawnTable()
    assert table.log is None
    assert table.says("log")
    assert table.reload is not None
    assert table.reload.signal == "SIGHUP"
    assert [socket.listen for socket in table.sockets] == ["/run/x", "80"]
    assert table.environment_file == ("/etc/x",)


def test_a_table_that_is_partly_given_keeps_the_other_defaults() -> None:
    table = ServiceTable.model_validate({"respawn": {"limit": 1}, "log": {"keep": 1}})
    assert table.respawn == RespawnTable(limit=1)
    assert table.log == LogTable(keep=1)
    assert not table.says("stop")


def test_false_is_no_herd_socket() -> None:
    assert HostTable.model_validate({"herd_socket": False}).herd_socket is None
    assert HostTable.model_validate({"herd_socket": "/run/x"}).herd_socket == "/run/x"


def test_an_argument_may_be_empty_and_the_program_may_not() -> None:
    assert ServiceTable.model_validate({"command": ["x", ""]}).command == ("x", "")
    for command in ([], [""], "x"):
        with pytest.raises(ValidationError):
            ServiceTable.model_validate({"command": command})


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        ServiceTable().nice = 3  # type: ignore[misc]  # that it is refused is the point
