"""The action clients of libvirt's daemons: who is connected, how, since when.

A program of its own, which virtsupd runs: `python -m virtsupd.services.libvirt_clients DAEMON
VIRT-ADMIN URI [OPTION…]`.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from virtsupd.process.clock import SystemClock
from virtsupd.process.holders import arguments_of, program_of
from virtsupd.process.lives import parent_of
from virtsupd.services.action_program import ActionParser, json_text, table_text, told
from virtsupd.services.libvirt_asking import answer
from virtsupd.times import ago

Client = Mapping[str, str]
"""What virt-admin knows of one connection, under its own words: `transport`, `sock_addr` …"""

_LISTED: Final = re.compile(r"^ *(\d+) +(\S+) +(\S.*?) *$", re.MULTILINE)
_FACT: Final = re.compile(r"([a-z0-9_]+) *: (.*)")
_AT_ONCE: Final = 500
"""Clients asked about in one run of virt-admin, whose command line has an end."""
_LINK: Final = "virtsupd.libvirtlink"
"""The module through which virtsupd speaks with libvirt, as its command line names it."""


def connected(daemon: str, virt_admin: str, uri: str) -> list[Client]:
    """Return who is connected now; one that left meanwhile is passed over.

    Raises:
        DaemonError: the daemon does not answer.
    """

    def admin(commands: str) -> str:
        return answer(daemon, [virt_admin, "--quiet", "--connect", uri, commands])

    ids = [match[1] for match in _LISTED.finditer(admin(f"client-list --server {daemon}"))]
    found: list[Client] = []
    for begin in range(0, len(ids), _AT_ONCE):
        asked = [f"client-info --server {daemon} {i}" for i in ids[begin : begin + _AT_ONCE]]
        # The last command's failure counts: it must not be one about a client that has left.
        found += parsed(admin("; ".join([*asked, "uri"])))
    return found


def parsed(text: str) -> Iterator[Client]:
    """Yield the clients that several `client-info` printed: each begins with its id."""
    client: dict[str, str] = {}
    for match in filter(None, map(_FACT.fullmatch, text.split("\n"))):
        if match[1] == "id" and client:
            yield client
            client = {}
        client[match[1]] = match[2]
    if client:
        yield client


def who(client: Client) -> str:
    """Return the user and process at the other end, or the address, and how it is known."""
    if "unix_process_id" in client:
        pid = client["unix_process_id"]
        user = client.get("unix_user_name") or client.get("unix_user_id", "?")
        parts = [f"{user}, {program_of(int(pid))} (pid {pid})"]
        if _is_link(int(pid)):
            parts.append("virtsupd itself, for its guests")
    else:
        parts = [client.get("sock_addr", "?")]
    names = (client.get(key) for key in ("tls_x509_dname", "x509_dname", "sasl_user_name"))
    parts += [name for name in names if name]
    if client.get("readonly") == "yes":
        parts.append("may only look")
    return "; ".join(parts)


def _is_link(pid: int) -> bool:
    """Whether virtsupd's libvirt link is connected with this process: it is that, or a virsh of it."""
    parent = parent_of(pid)
    return any(_LINK in arguments_of(one) for one in (pid, parent) if one)


def table(clients: Sequence[Client], now: float) -> str:
    """Return the clients as lines for people, with times as `status` has them."""
    rows = [("ID", "TRANSPORT", "SINCE", "WHO")]
    for client in clients:
        since = _since(client.get("connection_time", "?"), now)
        rows.append((client["id"], client.get("transport", "?"), since, who(client)))
    return table_text(rows)


def _since(text: str, now: float) -> str:
    """Return a time of virt-admin's as `status` says it, or as it is if it is another kind of text."""
    try:
        return ago(datetime.strptime(text, "%Y-%m-%d %H:%M:%S%z").timestamp(), now)
    except ValueError:
        return text


def _asked(words: Sequence[str]) -> str:
    daemon, virt_admin, uri, *added = words
    parser = ActionParser(f"virtsupctl clients {daemon}", "List who is connected.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(added)
    clients = connected(daemon, virt_admin, uri)
    if options.json:
        return json_text({"clients": clients})
    return table(clients, SystemClock().now().wall) if clients else "no clients are connected"


def main(words: Sequence[str]) -> int:
    """Print the clients; return the exit code."""
    return told("list clients", lambda: _asked(words))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
