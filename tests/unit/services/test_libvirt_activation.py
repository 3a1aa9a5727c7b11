import pytest

from virtsupd.services.libvirt import LibvirtTable
from virtsupd.services.libvirt_activation import activation_faults, libvirtd_sockets, small_sockets
from virtsupd.services.libvirt_tls import Remote

LOCAL = Remote(tls=False, tcp=False)
BOTH = Remote(tls=True, tcp=True)


def sockets(listening: Remote = LOCAL, **keys: object) -> dict[object, dict[str, object]]:
    """Return the sockets by name."""
    found = libvirtd_sockets(LibvirtTable.model_validate(keys), listening)
    return {item.pop("name"): item for item in found}


def test_local_sockets_are_as_the_table_says() -> None:
    found = sockets(unix_sock_dir="/s/", unix_sock_group="kvm", unix_sock_rw_perms="0770")
    assert found["libvirtd.socket"] == {
        "listen": "/s/libvirt-sock",
        "mode": "0770",
        "group": "kvm",
    }
    assert found["libvirtd-ro.socket"]["mode"] == "0777"
    assert found["libvirtd-admin.socket"]["listen"] == "/s/libvirt-admin-sock"
    assert len(found) == 3


@pytest.mark.parametrize(
    ("address", "tls"),
    [("10.0.0.1", "10.0.0.1:16514"), ("::1", "[::1]:16514"), ("", "16514")],
)
def test_ports_are_opened_where_the_table_says(address: str, tls: str) -> None:
    found = sockets(BOTH, listen_addr=address, tcp_port="ssh")
    assert found["libvirtd-tls.socket"] == {"listen": tls}
    assert str(found["libvirtd-tcp.socket"]["listen"]).endswith("22")
    assert "libvirtd-tls.socket" not in sockets(Remote(tls=False, tcp=True))


@pytest.mark.parametrize(
    ("keys", "at"),
    [
        ({"listen_addr": "vmhost.example.org"}, "listen_addr"),
        ({"tls_port": "no-such-service"}, "tls_port"),
    ],
)
def test_what_is_known_to_the_dns_or_nobody_cannot_be_listened_on(
    keys: dict[str, object], at: str
) -> None:
    table = LibvirtTable.model_validate(keys)
    assert [fault[0] for fault in activation_faults(table, BOTH)] == [(at,)]
    assert not list(activation_faults(table, LOCAL))


def test_virtlogd_has_two_sockets_for_root_alone() -> None:
    names = {item["name"]: (item["listen"], item["mode"]) for item in small_sockets("virtlogd")}
    assert names == {
        "virtlogd.socket": ("/run/libvirt/virtlogd-sock", "0700"),
        "virtlogd-admin.socket": ("/run/libvirt/virtlogd-admin-sock", "0700"),
    }
