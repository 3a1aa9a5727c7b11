"""Running virsh: each one ends with the link, and with the connection that it is needed for."""

import ctypes
import os
import signal
import subprocess
import threading

from virtsupd.libvirtlink.messages import LinkError
from virtsupd.libvirtlink.virsh_text import kind_of, said

_PR_SET_PDEATHSIG = 1
_MISSING = (
    "virsh is not installed (Debian: libvirt-clients) or not on PATH, and neither is libvirt-python"
)

_prctl = ctypes.CDLL(None).prctl


class VirshCommands:
    """The virshs of one link, by any thread."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._environment = os.environ | {"LC_ALL": "C"}
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def begin(self, *words: str, stderr: int) -> "subprocess.Popen[bytes]":
        """Start one that ends with the thread that calls.

        Raises:
            LinkError: there is none.
        """
        try:
            return subprocess.Popen(
                ["virsh", "-q", "-c", self._uri, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=self._environment,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  (one call into libc, looked up before)
            )
        except FileNotFoundError as error:
            raise LinkError("unreachable", _MISSING) from error
        except OSError as error:
            raise LinkError("failed", f"cannot run virsh: {error.strerror}") from error

    def run(
        self,
        *words: str,
        domain: str = "",
        harmless: tuple[str, ...] = (),
        seconds: float | None = None,
    ) -> str:
        """Return what a command writes, which has so many seconds, and is about that domain.

        Raises:
            LinkError: it failed, with none of the harmless complaints.
        """
        with self.begin(*words, stderr=subprocess.PIPE) as running:
            output, errors = self._outputs_of(running, seconds)
        if running.returncode == -signal.SIGKILL:
            raise LinkError("unreachable", ending_of(running))
        if running.returncode and not any(complaint in errors for complaint in harmless):
            raise LinkError(kind_of(errors, domain), said(errors) or ending_of(running))
        return output

    def abandon(self) -> None:
        """End all that `run` has under way: answers of a lost connection count no more.

        One that has just connected to a libvirtd that hangs would wait for ever. What libvirt was
        asked for it goes on with.
        """
        with self._lock:
            for running in self._running:
                running.kill()

    def _outputs_of(
        self, running: "subprocess.Popen[bytes]", seconds: float | None
    ) -> tuple[str, str]:
        with self._lock:
            self._running.add(running)
        try:
            parts = running.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            running.kill()
            parts = running.communicate()
        finally:
            with self._lock:
                self._running.discard(running)
        output, errors = (part.decode(errors="surrogateescape") for part in parts)
        return output, errors


def ending_of(ended: "subprocess.Popen[bytes]") -> str:
    """Say how one ended that has not said why."""
    if ended.returncode == -signal.SIGKILL:
        return "libvirt did not answer virsh in time"
    return f"virsh ended with code {ended.returncode}"


def _die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
