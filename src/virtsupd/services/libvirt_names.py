"""The names under which other hosts may reach this one: what a server's certificate is for."""

import re
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from virtsupd.process.addresses import own_addresses

_LABEL: Final = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\Z")


def is_host_name(text: str) -> bool:
    """Whether it is an IP address or what the DNS takes for a name."""
    return _is_address(text) or _HOST.match(text) is not None


def server_names(more: Iterable[str], listen_addr: str) -> tuple[str, ...]:
    """Return `more`, then what this host calls itself, then its addresses; each once.

    Asks the DNS for the host's full name.
    """
    found = [*more, *_own_names(), listen_addr, "localhost", *own_addresses()]
    return tuple(dict.fromkeys(name for name in found if _is_of_use(name)))


def own_name() -> str:
    """Return the fullest name that this host calls itself by, "localhost" if it has none."""
    return next(iter(_own_names()), "localhost")


def _own_names() -> list[str]:
    short, full = socket.gethostname(), socket.getfqdn()
    names = [full, short] if "." in full else [short]
    return [name for name in names if _HOST.match(name) and not name.startswith("localhost")]


def _is_of_use(name: str) -> bool:
    """Whether a client can ask for it; 0.0.0.0 and :: stand for every address."""
    return is_host_name(name) and not (_is_address(name) and ip_address(name).is_unspecified)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text
