"""Whether a service itself listens: a stray copy that holds its port does not count.

Nobody connects to find out: it is one look at the kernel's tables of sockets and at who has them open.
"""

from virtsupd.core.spec import ListenProbe
from virtsupd.errors import NotReadyError
from virtsupd.process.holders import holder_of, is_held, port_holders, unix_listeners
from virtsupd.process.pidfile import read_pid
from virtsupd.process.probe_context import ProbeContext


def demand_listeners(probe: ListenProbe, context: ProbeContext) -> None:
    """Return if all places are held by the service, and its pid file has the pid of its leader.

    Raises:
        NotReadyError: something is missing, or is somebody else's; the first such place.
    """
    for place in probe.on:
        listeners = _listeners(place)
        if not listeners:
            raise NotReadyError(f"nobody listens on {place}")
        if not is_held(listeners, owns=context.owns, leader=context.leader()):
            other = holder_of(listeners) or "somebody else"
            raise NotReadyError(
                f"{other} listens on {place}, which is no process of {context.name}"
            )
    if probe.pid_file is not None:
        found, leader = read_pid(probe.pid_file), context.leader()
        if found is None:
            raise NotReadyError(f"{probe.pid_file} has no pid yet")
        if found != leader:
            raise NotReadyError(f"{probe.pid_file} has pid {found}, and its own is {leader}")


def _listeners(place: str) -> frozenset[int]:
    """Return the inodes of the sockets that listen in a place; of datagrams, that are bound there."""
    if place.startswith("/"):
        return unix_listeners(place)
    protocol, _, rest = place.partition(":")
    host, _, port = rest.rpartition(":")
    address = host.strip("[]") or None
    return port_holders(int(port), is_datagram=protocol == "udp", address=address)
