import os

from virtsupd.process.holders import program_of
from virtsupd.services.libvirt_clients import parsed, table, who

PRINTED = f"""
id             : 3
connection_time: 2026-11-23 00:51:16+0000
transport      : unix
readonly       : yes
unix_user_id   : 0
unix_user_name : root
unix_process_id: {os.getpid()}

id             : 5
connection_time: 2026-11-23 00:51:17+0000
transport      : tls
readonly       : no
sock_addr      : 127.0.0.1:53878
tls_x509_dname : O=T,CN=a : b
sasl_user_name : joe

libvirtd:///system?socket=/run/libvirt/libvirt-admin-sock
"""


def test_each_client_has_its_own_facts() -> None:
    local, remote = parsed(PRINTED)
    assert local["unix_user_name"] == "root"
    assert remote["tls_x509_dname"] == "O=T,CN=a : b"
    assert "unix_user_name" not in remote
    assert list(parsed("")) == []
    assert list(parsed(PRINTED.replace("joe", "j\u2028o")))[1]["sasl_user_name"] == "j\u2028o"


def test_a_client_is_known_by_its_process_or_by_what_it_proved() -> None:
    local, remote = parsed(PRINTED)
    me = program_of(os.getpid())
    assert who(local) == f"root, {me} (pid {os.getpid()}); may only look"
    assert who(remote) == "127.0.0.1:53878; O=T,CN=a : b; joe"
    assert who({"unix_process_id": "0"}) == "?, ? (pid 0)"
    assert who({}) == "?"


def test_people_see_one_line_for_each() -> None:
    lines = table(list(parsed(PRINTED))).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ID", "TRANSPORT"],
        ["3", "unix"],
        ["5", "tls"],
    ]
