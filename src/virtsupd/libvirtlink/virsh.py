"""Speaking with libvirt through virsh: short commands, and one that stays for the events."""

import ctypes
import os
import re
import signal
import subprocess
import threading

from virtsupd.libvirtlink.backend import OnLost, OnNews
from virtsupd.libvirtlink.guests import qemu_of
from virtsupd.libvirtlink.messages import LinkError, News, state_and_reason

_CONNECT_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1
_EVENT = re.compile(r"event 'lifecycle' for domain '(.*)': (\w+) ?(.*)")
_UP = "connected"
_WORDS = {
    "Shutdown": "shutdown",
    "Destroyed": "destroyed",
    "Crashed": "crashed",
    "Migrated": "migrated",
    "Saved": "saved",
    "Failed": "failed",
}
"""Why a domain that libvirt forgot at its end was stopped (virsh event)."""
_UNREACHABLE = (
    "failed to connect",
    "Failed to connect",
    "Disconnected",
    "client socket is closed",
    "End of file",
    "end of file",
    "Cannot recv data",
    "Cannot write data",
)
_NO_DOMAIN = ("failed to get domain", "Domain not found")
_DENIED = ("access denied", "authentication")
_REFUSED = ("Requested operation is not valid", "gent", "argument unsupported")


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_libc = ctypes.CDLL(None)


class Virsh:
    """One libvirt, by its URI."""

    name = "virsh"

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._environment = os.environ | {"LC_ALL": "C"}

    def connect(self, on_news: OnNews, on_lost: OnLost) -> None:
        """Return when every change of a domain is told from now on, until `on_lost` is called once.

        To be called by a thread that lives as long as the link: virsh ends with it. One keepalive
        message in five seconds, virsh's default, would be all that an idle host does: it is off.
        """
        script = f"echo {_UP}; event --event lifecycle --loop"
        watcher = subprocess.Popen(
            ["virsh", "-q", "-k", "0", "-c", self._uri, script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  (one call into libc, looked up before)
        )
        assert watcher.stdout is not None  # noqa: S101  (asked for above)
        expiry = threading.Timer(_CONNECT_SECONDS, watcher.kill)
        expiry.start()
        head = watcher.stdout.read(len(_UP)).decode(errors="replace")
        expiry.cancel()
        if head != _UP:
            text = head + watcher.stdout.read().decode(errors="replace")
            watcher.wait()
            raise LinkError("unreachable", _said(text) or "virsh did not connect in time")
        # The events are asked for right after that word; what a list that begins later does not
        # show has happened since.
        threading.Thread(target=self._listen, args=(watcher, on_news, on_lost), daemon=True).start()

    def _listen(self, watcher: "subprocess.Popen[bytes]", on_news: OnNews, on_lost: OnLost) -> None:
        assert watcher.stdout is not None  # noqa: S101  (asked for by `connect`)
        last = ""
        for raw in watcher.stdout:
            text = raw.decode(errors="surrogateescape").rstrip("\n")
            found = _EVENT.fullmatch(text)
            if found is not None:
                self._tell(found[1], found[2], found[3], on_news)
            elif text.startswith("error: "):
                last = last or _said(text)
        watcher.wait()
        on_lost(last or "virsh has ended")

    def _tell(self, domain: str, event: str, detail: str, on_news: OnNews) -> None:
        """Tell how the domain is by now: events come in bursts, and their words are no states."""
        try:
            [news] = self._stats("--", domain)
        except (LinkError, ValueError):
            if event not in ("Stopped", "Crashed", "Undefined"):
                return  # the loss of the connection is told next
            news = News(domain, "gone", _WORDS.get(detail.split(" ", maxsplit=1)[0], "unknown"))
        on_news(news)

    def domains(self) -> list[News]:
        """Return how all domains are, whether they run or not."""
        return self._stats()

    def _stats(self, *names: str) -> list[News]:
        found: list[News] = []
        domain, numbers = "", dict[str, int]()
        for text in [*self._run("domstats", "--state", *names).splitlines(), "Domain: ''"]:
            if text.startswith("Domain: '"):
                if domain:
                    found.append(_news(domain, numbers))
                domain, numbers = text[len("Domain: '") : -1], {}
            elif "=" in text:
                key, _, value = text.strip().partition("=")
                numbers[key] = int(value)
        return found

    def start(self, domain: str) -> None:
        """Start it; one that runs is no error."""
        self._run("start", "--", domain, harmless="Domain is already active")

    def shutdown(self, domain: str, how: str) -> None:
        """Ask the guest to power off: "agent" or "acpi"."""
        self._run("shutdown", "--mode", how, "--", domain)

    def save(self, domain: str) -> None:
        """Save it, and return when that is done."""
        self._run("managedsave", "--", domain)

    def destroy(self, domain: str) -> None:
        """End it; one that does not run is no error."""
        self._run("destroy", "--", domain, harmless="domain is not running")

    def ping(self, domain: str, seconds: float) -> None:
        """Return when its agent has answered."""
        limit = str(max(1, round(seconds)))
        command = '{"execute":"guest-ping"}'
        self._run("qemu-agent-command", "--timeout", limit, "--", domain, command)

    def _run(self, *command: str, harmless: str | None = None) -> str:
        try:
            done = subprocess.run(
                ["virsh", "-q", "-k", "0", "-c", self._uri, *command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=self._environment,
                check=False,
            )
        except OSError as error:
            raise LinkError("failed", f"cannot run virsh: {error.strerror}") from error
        text = done.stderr.decode(errors="surrogateescape")
        if done.returncode and not (harmless is not None and harmless in text):
            raise LinkError(_kind(text), _said(text) or f"virsh ended with code {done.returncode}")
        return done.stdout.decode(errors="surrogateescape")


def _news(domain: str, numbers: dict[str, int]) -> News:
    state, reason = state_and_reason(numbers.get("state.state", 0), numbers.get("state.reason", 0))
    pid, since = (None, None) if state in ("off", "crashed") else qemu_of(domain)
    return News(domain, state, reason, pid, since)


def _kind(text: str) -> str:
    for kind, words in (
        ("unreachable", _UNREACHABLE),
        ("no-such-domain", _NO_DOMAIN),
        ("denied", _DENIED),
        ("refused", _REFUSED),
    ):
        if any(word in text for word in words):
            return kind
    return "failed"


def _said(text: str) -> str:
    """Return virsh's complaint in one line."""
    lines = [one.removeprefix("error: ") for one in text.splitlines() if one.startswith("error: ")]
    return ": ".join(lines)
