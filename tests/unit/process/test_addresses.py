from ipaddress import ip_address

from virtsupd.process.addresses import own_addresses


def test_they_are_those_that_this_host_can_be_asked_for() -> None:
    found = own_addresses()
    assert "127.0.0.1" in found
    assert len(set(found)) == len(found)
    assert not any(ip_address(text).is_link_local for text in found)
