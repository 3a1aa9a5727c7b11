from typing import get_args

import pytest
from pydantic import ValidationError

from virtsupd.config.model import ServiceTable
from virtsupd.config.probes import DomainProbe, ProbeTable
from virtsupd.core import spec


def ready(value: object) -> spec.Probe | None:
    table = ServiceTable.model_validate({"ready": value}).ready
    assert table is not None
    return table.probe.probe()


@pytest.mark.parametrize(
    ("value", "probe"),
    [
        ("none", None),
        ("notify", spec.NotifyProbe()),
        ("fd", spec.FdProbe()),
        ("exit", spec.ExitProbe()),
        ({"kind": "exit", "status": True}, spec.ExitProbe(status=True)),
        ({"kind": "fd", "fd": 3, "variable": "FD"}, spec.FdProbe(3, "FD")),
        ({"kind": "pid-file", "path": "/run/x.pid"}, spec.PidFileProbe("/run/x.pid")),
        ({"kind": "socket", "path": "/run/x"}, spec.SocketProbe("/run/x")),
        (
            {"kind": "listen", "on": "udp:[::1]:7", "pid_file": "/run/x.pid"},
            spec.ListenProbe(("udp:[::1]:7",), "/run/x.pid"),
        ),
        (
            {"kind": "listen", "on": ["tcp:192.0.2.1:7", "/run/x"]},
            spec.ListenProbe(("tcp:192.0.2.1:7", "/run/x")),
        ),
        ({"kind": "tcp", "port": 80}, spec.TcpProbe(80)),
        ({"kind": "banner", "port": 22, "expect": "^SSH"}, spec.BannerProbe("^SSH", 22)),
        (
            {"kind": "http", "url": "http://x/", "statuses": [404]},
            spec.HttpProbe("http://x/", (404,)),
        ),
        ({"kind": "exec", "command": ["x", "y"]}, spec.ExecProbe(("x", "y"))),
        ({"kind": "log-line", "pattern": "up$"}, spec.LogLineProbe("up$")),
        ({"kind": "mount", "path": "/srv"}, spec.MountProbe("/srv")),
        ({"kind": "path", "path": "/dev/kvm"}, spec.PathProbe("/dev/kvm")),
        ({"kind": "host", "check": "udev"}, spec.HostProbe(spec.HostCheck.UDEV)),
        ({"kind": "agent"}, spec.AgentProbe()),
    ],
)
def test_every_kind_of_probe(value: object, probe: spec.Probe | None) -> None:
    assert ready(value) == probe


def test_keys_around_a_probe_stand_beside_its_own() -> None:
    table = ServiceTable.model_validate(
        {
            "ready": {"kind": "tcp", "port": 80, "timeout": "5s"},
            "health": {"kind": "tcp", "port": 80, "interval": 1, "on_failure": "degrade"},
        }
    )
    assert table.ready is not None
    assert table.ready.timeout == 5
    assert table.health is not None
    assert (table.health.interval, table.health.on_failure) == (1, "degrade")


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "fd", "fd": 2},
        {"kind": "http", "url": "http://x/", "statuses": []},
        {"kind": "http", "url": "http://x/", "statuses": [99]},
        {"kind": "exec", "command": []},
        {"kind": "host", "check": "weather"},
        {"kind": "tcp", "port": True},
    ],
)
def test_a_probe_that_cannot_work_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        ready(value)


def test_each_kind_makes_its_own_probe() -> None:
    with pytest.raises(NotImplementedError):
        ProbeTable().probe()


def test_what_a_guest_may_be_asked_is_what_is_for_domains() -> None:
    of_domains = {table for table in ProbeTable.__subclasses__() if table.for_domain}
    union, _ = get_args(DomainProbe)
    assert set(get_args(union)) == of_domains
