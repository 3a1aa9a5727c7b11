"""Speaking with libvirt through virsh: short commands, and one that stays for the events.

In virsh's words a domain comes after "--", so that its name may be anything.
"""

import subprocess
import threading
from collections.abc import Iterator
from typing import IO

from virtsupd.libvirtlink.backend import OnLost, OnNews
from virtsupd.libvirtlink.guests import qemu_of, run_dir_of
from virtsupd.libvirtlink.messages import KEEPALIVE, LinkError, News, state_and_reason
from virtsupd.libvirtlink.virsh_commands import VirshCommands, ending_of
from virtsupd.libvirtlink.virsh_text import (
    Event,
    event_of,
    may_be_mistaken,
    said,
    states_of,
    uuid_of,
)

_CONNECT_SECONDS = 60.0
_STATES_SECONDS = 30.0
"""Libvirt has the states of domains at hand. While an event's is asked for, nobody hears of the next,
nor of the loss of the connection."""
_UP = "connected"


class Virsh:
    """One libvirt, by its URI."""

    name = "virsh"

    def __init__(self, uri: str) -> None:
        self._commands = VirshCommands(uri)
        self._run_dir = run_dir_of(uri)

    def connect(self, on_news: OnNews, on_lost: OnLost) -> None:
        """Return when every change of a domain is told from now on, until `on_lost` is called once.

        What happens within some milliseconds may be missed: virsh asks for the events right after it
        has said that it is connected, and does not say when that is done.

        To be called by a thread that lives as long as the link: virsh ends with it.
        """
        interval, count = (str(number) for number in KEEPALIVE)
        script = f"echo '{_UP}\n'; event --event lifecycle --loop"
        watcher = self._commands.begin(
            "-k", interval, "-K", count, script, stderr=subprocess.STDOUT
        )
        output = _output_of(watcher)
        expiry = threading.Timer(_CONNECT_SECONDS, watcher.kill)
        expiry.start()
        complaints = ""
        try:
            for text in _lines(output):
                if text == _UP:
                    break
                complaints += text + "\n"
            else:
                with watcher:
                    pass  # it has ended, and is let go of
                raise LinkError("unreachable", said(complaints) or ending_of(watcher))
        finally:
            expiry.cancel()
        listening = (watcher, on_news, on_lost)
        threading.Thread(target=self._listen, args=listening, daemon=True).start()

    def _listen(self, watcher: subprocess.Popen[bytes], on_news: OnNews, on_lost: OnLost) -> None:
        complaints = ""
        with watcher:
            for text in _lines(_output_of(watcher)):
                event = event_of(text)
                if event is not None:
                    self._tell(event, on_news)
                else:
                    complaints = complaints or said(text)
        on_lost(complaints or "virsh has ended")
        self._commands.abandon()

    def _tell(self, event: Event, on_news: OnNews) -> None:
        """Tell how the domain is by now: events come in bursts, and their words are no states."""
        news = self._news_of(event)
        if news is not None:
            on_news(news)

    def _news_of(self, event: Event) -> News | None:
        domain, last_word = event
        try:
            found = self._states("--", self._target(domain))
        except LinkError as error:
            if error.kind != "no-such-domain":
                return None  # the loss of the connection is told next
            found = []
        if found:
            return found[0]
        return None if last_word is None else News(domain, "gone", last_word)

    def domains(self) -> list[News]:
        """Return how all domains are, whether they run or not."""
        return self._states()

    def start(self, domain: str) -> None:
        """Start it; one that runs is no error."""
        harmless = ("Domain is already active", "domain is already running")
        self._ask(domain, "start", harmless=harmless)

    def shutdown(self, domain: str, how: str) -> None:
        """Ask the guest to power off: "agent" or "acpi"."""
        self._ask(domain, "shutdown", "--mode", how)

    def save(self, domain: str) -> None:
        """Save it, and return when that is done."""
        self._ask(domain, "managedsave")

    def resume(self, domain: str) -> None:
        """Let a paused guest go on."""
        self._ask(domain, "resume")

    def destroy(self, domain: str) -> None:
        """End it; one that does not run is no error."""
        self._ask(domain, "destroy", harmless=("domain is not running",))

    def ping(self, domain: str, seconds: float) -> None:
        """Return when its agent has answered."""
        limit, command = str(max(1, round(seconds))), '{"execute":"guest-ping"}'
        self._ask(domain, "qemu-agent-command", "--timeout", limit, after=(command,))

    def _states(self, *which: str) -> list[News]:
        text = self._commands.run("domstats", "--state", *which, seconds=_STATES_SECONDS)
        try:
            return [self._news(*found) for found in states_of(text)]
        except ValueError as error:
            words = f"cannot understand what virsh says of domains: {error}"
            raise LinkError("failed", words) from error

    def _news(self, domain: str, *numbers: int) -> News:
        state, reason = state_and_reason(*numbers)
        run_dir = None if state in {"off", "crashed"} else self._run_dir
        return News(domain, state, reason, *qemu_of(domain, run_dir))

    def _ask(
        self,
        domain: str,
        *command: str,
        after: tuple[str, ...] = (),
        harmless: tuple[str, ...] = (),
    ) -> None:
        target = self._target(domain)
        self._commands.run(*command, "--", target, *after, domain=domain, harmless=harmless)

    def _target(self, domain: str) -> str:
        """Return what means this domain and no other to virsh."""
        if not may_be_mistaken(domain):
            return domain
        found = uuid_of(domain, self._commands.run("list", "--all", "--uuid", "--name"))
        if found is None:
            raise LinkError("no-such-domain", f"failed to get domain '{domain}'")
        return found


def _output_of(watcher: subprocess.Popen[bytes]) -> IO[bytes]:
    assert watcher.stdout is not None  # noqa: S101  (always asked for)
    return watcher.stdout


def _lines(output: IO[bytes]) -> Iterator[str]:
    for raw in output:
        yield raw.decode(errors="surrogateescape").removesuffix("\n")
