"""The addresses of this host, read on request."""

from ipaddress import ip_address


def own_addresses() -> tuple[str, ...]:
    """Return the IP addresses of all interfaces, in the kernel's order, each once.

    Without those that mean nothing on other hosts (link-local), but with the loopback's.
    """
    import psutil  # noqa: PLC0415 - takes long, and is needed when somebody asks

    everything = (entry for entries in psutil.net_if_addrs().values() for entry in entries)
    found = [entry.address for entry in everything if entry.family.name in ("AF_INET", "AF_INET6")]
    return tuple(dict.fromkeys(text for text in found if not _is_link_local(text)))


def _is_link_local(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_link_local
