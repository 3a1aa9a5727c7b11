"""The action uris of libvirtd: under which names clients reach it.

A program of its own, which virtsupd runs: `python -m virtsupd.services.libvirt_uris SOCKET-DIR
LISTEN-ADDRESS TLS-PORT TCP-PORT [OPTION…]`; an empty port is one that is not listened on.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Final

from virtsupd.services.action_program import ActionParser, json_text, table_text, told
from virtsupd.services.libvirt_guests import local_uri
from virtsupd.services.libvirt_names import own_name
from virtsupd.services.libvirt_sockets import OWN_SOCKET_DIRS

_USUAL_PORTS: Final = {"tls": "16514", "tcp": "16509"}
_EVERY: Final = {"", "0.0.0.0", "::"}  # noqa: S104 - of the table
_NOTE: Final = "(qemu:///session is another: each user's own libvirtd)"
_FOR: Final = {
    "tls": "other hosts, with a certificate",
    "tcp": "other hosts, unencrypted unless SASL does it",
}


def uris(
    socket_dir: str, listen_addr: str, tls_port: str, tcp_port: str
) -> Iterator[tuple[str, str]]:
    """Yield each URI and what it is for."""
    is_usual = socket_dir in OWN_SOCKET_DIRS
    local = local_uri(socket_dir)
    yield "qemu:///system" if is_usual else local, "this host, all calls"
    yield f"{local}-ro", "this host, to look only; or virsh --readonly"
    host = own_name() if listen_addr in _EVERY else listen_addr
    address = f"[{host}]" if ":" in host else host
    for kind, port in (("tls", tls_port), ("tcp", tcp_port)):
        if port:
            number = "" if port == _USUAL_PORTS[kind] else f":{port}"
            yield f"qemu+{kind}://{address}{number}/system", _FOR[kind]


def _asked(words: Sequence[str]) -> str:
    parser = ActionParser("virtsupctl uris libvirtd", "List the URIs of this libvirtd.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(words[4:])
    found = list(uris(*words[:4]))
    if options.json:
        return json_text({"uris": [uri for uri, _ in found]})
    return f"{table_text(found)}\n{_NOTE}"


def main(words: Sequence[str]) -> int:
    """Print the URIs; return the exit code."""
    return told("list URIs", lambda: _asked(words))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
