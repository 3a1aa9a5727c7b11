"""Speaking with libvirt through its own library, where libvirt-python is installed."""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import libvirt
import libvirt_qemu

from virtsupd.libvirtlink.backend import OnLost, OnNews
from virtsupd.libvirtlink.guests import qemu_of, run_dir_of
from virtsupd.libvirtlink.messages import KEEPALIVE, LinkError, News, state_and_reason

_STOPPED = {
    0: "shutdown",
    1: "destroyed",
    2: "crashed",
    3: "migrated",
    4: "saved",
    5: "failed",
    6: "from snapshot",
}
"""virDomainEventStoppedDetailType: why a domain that libvirt forgot at its end was stopped."""
_LOST = {
    libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: "the connection broke",
    libvirt.VIR_CONNECT_CLOSE_REASON_EOF: "libvirt closed the connection",
    libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: "libvirt gave no sign of life",
}
_Event = tuple[str, int, int, OnNews]
"""Domain, event, its detail, and who is to be told."""
_KINDS = {
    "no-such-domain": (libvirt.VIR_ERR_NO_DOMAIN,),
    "denied": (
        libvirt.VIR_ERR_AUTH_FAILED,
        libvirt.VIR_ERR_AUTH_CANCELLED,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
        libvirt.VIR_ERR_ACCESS_DENIED,
        libvirt.VIR_ERR_OPERATION_DENIED,
    ),
    "refused": (
        libvirt.VIR_ERR_OPERATION_INVALID,
        libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
        libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
        libvirt.VIR_ERR_AGENT_UNSYNCED,
    ),
}


class _Loss:
    """Tells of the loss of a pair of connections, whoever notices it, and once."""

    def __init__(self, on_lost: OnLost) -> None:
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._is_told = False

    def tell(self, why: str) -> None:
        with self._lock:
            was_told, self._is_told = self._is_told, True
        if not was_told:
            self._on_lost(why)


class Library:
    """One libvirt, by its URI.

    It is asked through another connection than events come from, and the latter alone looks for signs
    of life. Where several wait for answers on one that does, libvirt (9.0) tells one of them that
    libvirtd hangs, its callback never, and crashes as the others go on. On a connection that does
    not, they wait until libvirtd goes on or is gone.
    """

    name = "libvirt-python"

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._run_dir = run_dir_of(uri)
        self._listening: Any = None
        self._asking: tuple[Any, _Loss] | None = None
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        libvirt.registerErrorHandler(lambda *_told: None, None)
        libvirt.virEventRegisterDefaultImpl()
        for work in (_run_events, self._tell_events):
            threading.Thread(target=work, daemon=True).start()

    def connect(self, on_news: OnNews, on_lost: OnLost) -> None:
        """Return when every change of a domain is told from now on, until `on_lost` is called once."""
        self._hang_up()
        loss = _Loss(on_lost)
        try:
            asking = libvirt.open(self._uri)
            listening = self._listening = libvirt.open(self._uri)
            _keep_alive(listening)
            listening.registerCloseCallback(
                lambda _connection, reason, _opaque: loss.tell(_LOST.get(reason, "it was closed")),
                None,
            )
            listening.domainEventRegisterAny(
                None,
                libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                lambda _connection, domain, event, detail, _opaque: self._events.put(
                    (domain.name(), event, detail, on_news)
                ),
                None,
            )
        except libvirt.libvirtError as error:
            raise LinkError("unreachable", _said(error)) from error
        self._asking = asking, loss

    def _hang_up(self) -> None:
        """Let go of connections that were lost.

        Callbacks keep the one of the events from being freed. The other may not be closed: whoever still
        waits for an answer would be left with freed memory. It closes when the last one lets go of it.
        """
        self._asking = None
        listening, self._listening = self._listening, None
        if listening is not None:
            with suppress(libvirt.libvirtError):
                listening.unregisterCloseCallback()
            with suppress(libvirt.libvirtError):
                listening.close()

    def _tell_events(self) -> None:
        """Tell of events, one after another. Libvirt may not be asked in its own thread of events."""
        while True:
            self._tell(*self._events.get())

    def _tell(self, name: str, event: int, detail: int, on_news: OnNews) -> None:
        try:
            state = self._ask(lambda connection: connection.lookupByName(name).state())
            news = self._news(name, state)
        except LinkError as error:
            word = _last_word(event, detail)
            if error.kind != "no-such-domain" or word is None:
                return  # the loss of the connection is told next, or the end of the domain
            news = News(name, "gone", word)
        on_news(news)

    def domains(self) -> list[News]:
        """Return how all domains are, whether they run or not."""
        found = self._ask(
            lambda connection: connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
        )
        return [
            self._news(domain.name(), (stats.get("state.state", 0), stats.get("state.reason", 0)))
            for domain, stats in found
        ]

    def start(self, domain: str) -> None:
        """Start it; one that runs is no error."""
        self._apart(domain, _start)

    def shutdown(self, domain: str, how: str) -> None:
        """Ask the guest to power off: "agent" or "acpi"."""
        if how == "agent":
            flag = libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT
            self._apart(domain, lambda found: found.shutdownFlags(flag))
        else:
            flag = libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
            self._ask(lambda connection: connection.lookupByName(domain).shutdownFlags(flag))

    def save(self, domain: str) -> None:
        """Save it, and return when that is done."""
        self._apart(domain, lambda found: found.managedSave(0))

    def resume(self, domain: str) -> None:
        """Let a paused guest go on."""
        self._apart(domain, lambda found: found.resume())

    def destroy(self, domain: str) -> None:
        """End it; one that does not run is no error."""
        self._ask(lambda connection: _destroy(connection.lookupByName(domain)))

    def ping(self, domain: str, seconds: float) -> None:
        """Return when its agent has answered."""
        limit, command = max(1, round(seconds)), '{"execute":"guest-ping"}'
        self._apart(domain, lambda found: libvirt_qemu.qemuAgentCommand(found, command, limit, 0))

    def _news(self, name: str, numbers: Any) -> News:
        state, reason = state_and_reason(*numbers)
        run_dir = None if state in {"off", "crashed"} else self._run_dir
        return News(name, state, reason, *qemu_of(name, run_dir))

    def _ask(self, work: Callable[[Any], Any]) -> Any:
        """Do what is done at once, on the connection for that."""
        asking = self._asking
        if asking is None:
            raise LinkError("unreachable", "not connected")
        connection, loss = asking
        try:
            return _call(connection, lambda: work(connection))
        except LinkError as error:
            if error.kind == "unreachable":
                loss.tell(str(error))
            raise

    def _apart(self, domain: str, work: Callable[[Any], object]) -> None:
        """Do what takes its time on a connection of its own.

        libvirtd works on five requests of one connection at a time (max_client_requests): five
        saves would keep it from hearing that a guest is to be destroyed.
        """
        try:
            connection = libvirt.open(self._uri)
        except libvirt.libvirtError as error:
            raise LinkError("unreachable", _said(error)) from error
        try:
            _keep_alive(connection)
            _call(connection, lambda: work(connection.lookupByName(domain)))
        finally:
            with suppress(libvirt.libvirtError):
                connection.close()


def _last_word(event: int, detail: int) -> str | None:
    """Return why a domain ended, if that may be all that libvirt says of it; None for another event."""
    if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
        return _STOPPED.get(detail, "unknown")
    return "unknown" if event == libvirt.VIR_DOMAIN_EVENT_UNDEFINED else None


def _start(domain: Any) -> None:
    try:
        domain.create()
    except libvirt.libvirtError:
        if not domain.isActive():
            raise


def _destroy(domain: Any) -> None:
    try:
        domain.destroy()
    except libvirt.libvirtError:
        if domain.isActive():
            raise


def _call(connection: Any, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except libvirt.libvirtError as error:
        code = error.get_error_code()
        known = (kind for kind, codes in _KINDS.items() if code in codes)
        other = "failed" if connection.isAlive() else "unreachable"
        raise LinkError(next(known, other), _said(error)) from error


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _keep_alive(connection: Any) -> None:
    """Notice a libvirtd that hangs, where there is a daemon at all."""
    with suppress(libvirt.libvirtError):
        connection.setKeepAlive(*KEEPALIVE)


def _said(error: libvirt.libvirtError) -> str:
    return error.get_error_message() or str(error)
