from virtsupd.services.libvirt import LibvirtTable
from virtsupd.services.libvirt_actions import actions
from virtsupd.services.libvirt_tls import remote


def test_every_action_says_what_it_does() -> None:
    table = LibvirtTable()
    for action in actions(table, table.libvirt, remote(table)).values():
        assert isinstance(action, dict)
        assert action["description"]
