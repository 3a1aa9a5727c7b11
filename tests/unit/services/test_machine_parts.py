"""What the kinds of machines have in common."""

from virtsupd.core.machine import Rung
from virtsupd.services.machine_parts import (
    Parts,
    Places,
    escaped,
    rung_conditions,
    socket_arguments,
)

PLACES = Places("/run/machines/m")
PARTS = Parts(
    places=PLACES,
    secrets_port=None,
    secret_root=None,
    ssh_port=11022,
    has_agent=True,
    kvm="auto",
    access_group=None,
    ready_at=Rung.SECRETS,
    boot_seconds=60.0,
    ports=(11022,),
)


def test_a_comma_in_a_value_of_qemu_s_is_doubled() -> None:
    assert escaped("/srv/a,b.img") == "/srv/a,,b.img"


def test_every_socket_is_in_the_machine_s_directory_and_waits_for_nobody() -> None:
    given = socket_arguments(PLACES, None, has_agent=True)
    sockets = [word for word in given if word.startswith("socket,")]
    assert [word.split(",")[2] for word in sockets] == [
        f"path=/run/machines/m/{name}" for name in ("qmp", "monitor", "serial", "agent")
    ]
    assert all("server=on,wait=off" in word for word in sockets)


def test_a_rung_that_the_machine_has_not_is_not_waited_for() -> None:
    ready = PARTS.keys({})["ready"]
    assert isinstance(ready, dict)
    told = [(rung["rung"], rung["counts"]) for rung in ready["rungs"]]
    assert told == [("monitor", True), ("agent", False), ("ssh", True)]


def test_each_rung_makes_a_condition_under_each_name() -> None:
    found = dict(rung_conditions(["m", "n"], PARTS))
    assert list(found) == ["m-monitor", "m-agent", "m-ssh"]
    assert found["m-ssh"]["provides"] == ["m-ssh", "n-ssh"]
    assert found["m-ssh"]["binds_to"] == ["m"]
