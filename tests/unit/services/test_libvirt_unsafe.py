from pathlib import Path

import pytest

from virtsupd.services.libvirt_limits import LogTable
from virtsupd.services.libvirt_sockets import ConnectionTable
from virtsupd.services.libvirt_tls import Remote
from virtsupd.services.libvirt_unsafe import lost_logs, unsafe

NOTHING, BOTH = Remote(tls=False, tcp=False), Remote(tls=True, tcp=True)
SAFE = {"unix_sock_admin_perms": "0700", "listen_addr": "127.0.0.1"}


def warned(listening: Remote = NOTHING, **keys: object) -> list[str]:
    table = ConnectionTable.model_validate(SAFE | keys)
    return [str(at[0]) for at, _ in unsafe(table, listening)]


def test_what_is_safe_is_not_warned_of() -> None:
    assert warned() == []
    assert warned(BOTH) == []
    assert warned(auth_tcp="none", tls_no_verify_cert=True, listen_addr="0.0.0.0") == []


@pytest.mark.parametrize("mode", ["0777", "0770", "0704"])
def test_an_open_admin_socket_is_named(mode: str) -> None:
    assert warned(unix_sock_admin_perms=mode) == ["unix_sock_admin_perms"]


@pytest.mark.parametrize("address", ["0.0.0.0", "::", ""])
def test_listening_everywhere_is_named_while_something_listens(address: str) -> None:
    assert warned(BOTH, listen_addr=address) == ["listen_addr"]


def test_whom_nobody_asks_is_named() -> None:
    assert warned(BOTH, auth_tcp="none", tls_no_verify_cert=True) == [
        "auth_tcp",
        "tls_no_verify_cert",
    ]
    assert warned(auth_unix_rw="none", unix_sock_rw_perms="0777") == ["auth_unix_rw"]
    assert warned(auth_unix_rw="none") == []


def test_what_has_no_effect_is_named() -> None:
    assert warned(listen=True, listen_tls=False) == ["listen"]
    assert warned(listen=False, listen_tcp=True) == ["listen_tcp"]


def test_a_log_whose_receiver_is_not_there_is_named() -> None:
    receivers = {"syslog": Path("/dev/log"), "journald": Path("/run/systemd/journal/socket")}
    missing = [name for name, path in receivers.items() if not path.exists()]
    table = LogTable.model_validate({"log_outputs": "1:syslog:x 1:stderr 2:file:/x 3:journald"})
    found = list(lost_logs(table))
    assert [text.split()[0] for _, text in found] == missing
    assert {keys for keys, _ in found} <= {("log_outputs",)}
