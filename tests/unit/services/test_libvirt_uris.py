import json

import pytest

from virtsupd.services.libvirt_names import own_name
from virtsupd.services.libvirt_uris import main, uris


def test_who_is_on_this_host_has_two_ways() -> None:
    assert [uri for uri, _ in uris("/run/libvirt", "0.0.0.0", "", "")] == [
        "qemu:///system",
        "qemu+unix:///system?socket=/run/libvirt/libvirt-sock-ro",
    ]


def test_another_directory_of_sockets_is_in_the_uri() -> None:
    assert next(uris("/srv/l v", "", "", ""))[0] == (
        "qemu+unix:///system?socket=/srv/l%20v/libvirt-sock"
    )


def test_other_hosts_are_told_the_address_that_is_listened_on() -> None:
    [_, _, tls, tcp] = [uri for uri, _ in uris("/run/libvirt", "::1", "16514", "16555")]
    assert tls == "qemu+tls://[::1]/system"
    assert tcp == "qemu+tcp://[::1]:16555/system"
    [_, _, tls] = [uri for uri, _ in uris("/run/libvirt", "0.0.0.0", "16514", "")]
    assert tls == f"qemu+tls://{own_name()}/system"


def test_programs_read_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["/run/libvirt", "", "", "16509"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["uris"]
    assert found == [line.split()[0] for line in lines[:-1]]
    assert "qemu:///session" in lines[-1]
