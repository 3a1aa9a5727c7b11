"""Speaking with libvirt through its own library, where libvirt-python is installed."""

import threading
from typing import Any

import libvirt
import libvirt_qemu

from virtsupd.libvirtlink.backend import OnLost, OnNews
from virtsupd.libvirtlink.guests import qemu_of
from virtsupd.libvirtlink.messages import LinkError, News, state_and_reason

_STOPPED = {0: "shutdown", 1: "destroyed", 2: "crashed", 3: "migrated", 4: "saved", 5: "failed"}
"""virDomainEventStoppedDetailType: why a domain that libvirt forgot at its end was stopped."""
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


class Library:
    """One libvirt, by its URI."""

    name = "libvirt-python"

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._connection: Any = None
        libvirt.registerErrorHandler(lambda *_told: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, daemon=True).start()

    def connect(self, on_news: OnNews, on_lost: OnLost) -> None:
        """Return when every change of a domain is told from now on, until `on_lost` is called once."""
        try:
            connection = libvirt.open(self._uri)
            connection.registerCloseCallback(
                lambda _connection, _reason, _opaque: on_lost("the connection was closed"), None
            )
            connection.domainEventRegisterAny(
                None,
                libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                lambda _connection, domain, event, detail, _opaque: self._event(
                    domain, event, detail, on_news
                ),
                None,
            )
        except libvirt.libvirtError as error:
            raise LinkError("unreachable", _said(error)) from error
        self._connection = connection

    def _event(self, domain: Any, event: int, detail: int, on_news: OnNews) -> None:
        """Tell of an event. Libvirt is asked in another thread: here only its events are taken."""
        threading.Thread(
            target=self._tell, args=(domain.name(), event, detail, on_news), daemon=True
        ).start()

    def _tell(self, name: str, event: int, detail: int, on_news: OnNews) -> None:
        try:
            news = _news(name, self._domain(name).state())
        except (LinkError, libvirt.libvirtError):
            ends = (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED)
            if event not in ends:
                return  # the loss of the connection is told next
            news = News(name, "gone", _STOPPED.get(detail, "unknown"))
        on_news(news)

    def domains(self) -> list[News]:
        """Return how all domains are, whether they run or not."""
        found = self._call(
            lambda: self._open().getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
        )
        return [
            _news(domain.name(), (stats.get("state.state", 0), stats.get("state.reason", 0)))
            for domain, stats in found
        ]

    def start(self, domain: str) -> None:
        """Start it; one that runs is no error."""
        found = self._domain(domain)
        try:
            self._call(found.create)
        except LinkError:
            if not self._call(found.isActive):
                raise

    def shutdown(self, domain: str, how: str) -> None:
        """Ask the guest to power off: "agent" or "acpi"."""
        agent, button = (
            libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT,
            libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN,
        )
        found = self._domain(domain)
        self._call(lambda: found.shutdownFlags(agent if how == "agent" else button))

    def save(self, domain: str) -> None:
        """Save it, and return when that is done."""
        found = self._domain(domain)
        self._call(lambda: found.managedSave(0))

    def destroy(self, domain: str) -> None:
        """End it; one that does not run is no error."""
        found = self._domain(domain)
        try:
            self._call(found.destroy)
        except LinkError:
            if self._call(found.isActive):
                raise

    def ping(self, domain: str, seconds: float) -> None:
        """Return when its agent has answered."""
        found, limit = self._domain(domain), max(1, round(seconds))
        command = '{"execute":"guest-ping"}'
        self._call(lambda: libvirt_qemu.qemuAgentCommand(found, command, limit, 0))

    def _domain(self, name: str) -> Any:
        return self._call(lambda: self._open().lookupByName(name))

    def _open(self) -> Any:
        if self._connection is None:
            raise LinkError("unreachable", "not connected")
        return self._connection

    def _call(self, work: Any) -> Any:
        try:
            return work()
        except libvirt.libvirtError as error:
            raise LinkError(self._kind(error), _said(error)) from error

    def _kind(self, error: libvirt.libvirtError) -> str:
        code = error.get_error_code()
        known = next((kind for kind, codes in _KINDS.items() if code in codes), None)
        if known is not None:
            return known
        connection = self._connection
        return "failed" if connection is not None and connection.isAlive() else "unreachable"


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _news(name: str, numbers: Any) -> News:
    state, reason = state_and_reason(*numbers)
    pid, since = (None, None) if state in ("off", "crashed") else qemu_of(name)
    return News(name, state, reason, pid, since)


def _said(error: libvirt.libvirtError) -> str:
    return error.get_error_message() or str(error)
