"""What stands at /usr/lib/ganeti/daemon-util: Ganeti's way to its daemons, answered by virtsupd.

Ganeti starts and stops its daemons by nothing but this path. What is written there is the text of this
module, with its head filled in, behind that of `asking` (`rendering`): a program that stands alone. What
it cannot have from virtsupd it fails to do; it never starts a daemon itself, which would run beside the
supervised one.
"""

import posix
import sys
from time import time as wall_clock

from virtsupd.ganeti.asking import FailedError, UnknownError, UnreachedError, Virtsupd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

SOCKET = "/run/virtsupd/control"
"""The control socket. Filled in where this is installed, as is `SSH`: callers pass no environment."""
SSH = ""
"""The service of the host's SSH server; "" if none was named."""
SERVER_PEM = "/var/lib/ganeti/server.pem"
PROGRAMS = "/usr/sbin"
"""Where the daemons are."""

_START = ("noded", "confd", "wconfd", "rapi", "luxid", "kvmd", "mond")
_STOP = ("metad", "mond", "kvmd", "luxid", "rapi", "wconfd", "confd", "noded")
_MASTER = ("wconfd", "rapi", "luxid")
_MASTER_STOP = ("luxid", "rapi", "wconfd")
_MAY_BE_MISSING = ("kvmd", "mond")
"""Of those that start-all starts, what a cluster does without."""
_REOPEN = ("noded", "rapi")
"""The daemons in Python: HUP has them open their logs anew. Those in Haskell, in the foreground, do worse
than nothing at it: they write on into the renamed file, and take their standard output from virtsupd."""
_NOT_MASTER = 11
"""How a daemon of the master's ends on another node."""
_GOOD = ("done", "already")


class DaemonUtil:
    """The verbs. Each returns its exit code; `environment` is that of the caller, as bytes."""

    def __init__(
        self, path: str, ssh: str, server_pem: str, environment: "Mapping[bytes, bytes]"
    ) -> None:
        self._virtsupd = Virtsupd(path)
        self._ssh = ssh
        self._server_pem = server_pem
        self._environment = environment

    def start(self, name: str, *arguments: str) -> int:
        """Start a daemon; 0 once it is ready, else its own exit code if it ended.

        What is for this run alone comes from the environment, too: so Ganeti passes --no-voting.
        """
        variable = f"EXTRA_{name.removeprefix('ganeti-').upper()}_ARGS".encode()
        extra = self._environment.get(variable, b"").decode("utf-8", "surrogateescape").split()
        began = wall_clock()
        found = self._virtsupd.start(name, [*extra, *arguments], lambda: self._look(name, began))
        if isinstance(found, int):
            return found
        result, message = found
        if result in _GOOD:
            return 0
        code = _exit_code(self._virtsupd.status(name), began)
        if result == "not-needed":
            return code or 0
        _complain(message)
        return code or 1

    def stop(self, name: str) -> int:
        """Stop a daemon; 0 when it is gone. What virtsupd does not have does not run either."""
        try:
            result, message = self._virtsupd.command("Stop", name)
        except UnknownError:
            return 0
        return _judged(result, message)

    def check(self, name: str) -> int:
        """Tell whether a daemon is alive."""
        try:
            service = self._virtsupd.status(name)
        except UnknownError:
            return 1
        is_up = service["state"] in ("starting", "running")
        return 0 if is_up and service["pid"] is not None else 1

    def check_and_start(self, name: str) -> int:
        """Start a daemon that is not alive."""
        return self.check(name) and self.start(name)

    def start_master(self) -> int:
        """Start the daemons of the master, as far as each comes up."""
        return next((code for name in _MASTER if (code := self.start(f"ganeti-{name}"))), 0)

    def stop_several(self, names: "Sequence[str]") -> int:
        """Stop daemons one after another, also if one refuses."""
        return max([self._stop_if_it_can(f"ganeti-{name}") for name in names])

    def _stop_if_it_can(self, name: str) -> int:
        try:
            return self.stop(name)
        except UnreachedError:
            raise  # nor can the others
        except FailedError as error:
            _complain(str(error))
            return 1

    def start_all(self) -> int:
        """Start all daemons but those on demand; that this is not the master is no error."""
        for name in _START:
            try:
                code = self.start(f"ganeti-{name}")
            except UnknownError:
                if name not in _MAY_BE_MISSING:
                    raise
                continue
            if code not in (0, _NOT_MASTER):
                _complain(f"ganeti-{name}: exit code {code}")
                return 1
        return 0

    def rotate(self, name: str) -> int:
        """Have a daemon open its logs anew, if it is one that can, and runs."""
        if name.removeprefix("ganeti-") not in _REOPEN or self.check(name):
            return 0
        return _judged(*self._virtsupd.command("ReloadService", name))

    def rotate_all(self) -> int:
        """Have all daemons do so."""
        return max([self.rotate(f"ganeti-{name}") for name in _REOPEN])

    def reload_ssh(self) -> int:
        """Have the SSH server read its new host keys, by a restart where it knows no reload."""
        if not self._ssh:
            _complain("no service is named as the SSH server: it has its old keys until a restart")
            return 0
        result, _ = self._virtsupd.command("ReloadService", self._ssh)
        return 0 if result in _GOOD else _judged(*self._virtsupd.command("Restart", self._ssh))

    def check_config(self) -> int:
        """Tell whether this host is a node of a cluster."""
        try:
            is_file = posix.stat(self._server_pem).st_mode & 0o170000 == 0o100000
        except OSError:
            is_file = False
        if not is_file:
            raise FailedError(f"Missing configuration file {self._server_pem}")
        return 0

    def _look(self, name: str, began: float) -> "int | None":
        """Return how a start that is under way is to be answered before its end; None: it is waited for.

        virtsupd goes on with it: a daemon that ended is tried again, and one whose condition comes
        to hold is started.
        """
        service = self._virtsupd.status(name)
        code = _exit_code(service, began)
        if _reason(service)[0] == "backing-off" and code is not None:
            _complain(f"{name}: {_reason(service)[1]}")
            return code or 1
        missing = self._condition(service, {name})
        if missing is None:
            return None
        _complain(f"{name} waits for {missing}")
        return _NOT_MASTER if name.removeprefix("ganeti-") in _MASTER else 1

    def _condition(self, service: "Mapping[str, Any]", seen: "set[str]") -> "str | None":
        """Return the condition, in words, that a service waits for, or what it waits for does."""
        if service["state"] != "stopped" or _reason(service)[0] != "waiting":
            return None
        for name in service["reason"]["names"]:
            if name not in seen:
                seen.add(name)
                other = self._virtsupd.status(name)
                if other["kind"] == "condition" and other["state"] != "running":
                    return f"{name}: {_reason(other)[1] or other['state']}"
                found = self._condition(other, seen)
                if found is not None:
                    return found
        return None


def _reason(service: "Mapping[str, Any]") -> "tuple[str, str]":
    found = service["reason"] or {"kind": "", "text": ""}
    return found["kind"], found["text"]


def _exit_code(service: "Mapping[str, Any]", began: float) -> "int | None":
    """Return the exit code of a daemon that ended since; None if it did not, or by a signal."""
    last = service["last_exit"]
    code: int | None = last["code"] if last is not None and last["at"] >= began else None
    return code


def _judged(result: str, message: str) -> int:
    if result in _GOOD:
        return 0
    _complain(message)
    return 1


def _say(*lines: str) -> int:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _complain(text: str) -> None:
    sys.stderr.write(f"daemon-util: {text}\n")


def _check_exit_code(words: "Sequence[str]") -> int:
    if not words:
        raise FailedError("Missing exit code.")
    if words[0] == "0":
        return 0
    is_well = words[0] == str(_NOT_MASTER)
    _say("not master" if is_well else f"exit code {words[0]}")
    return 0 if is_well else 1


def _name(words: "Sequence[str]") -> str:
    if not words:
        raise FailedError("Missing daemon name.")
    prefix, _, name = words[0].partition("-")
    if prefix != "ganeti" or name not in _STOP:
        raise FailedError(f"Unknown daemon name '{words[0]}'")
    return words[0]


_VERBS: "Mapping[str, Callable[[DaemonUtil, Sequence[str]], int]]" = {
    "start": lambda util, words: util.start(_name(words), *words[1:]),
    "stop": lambda util, words: util.stop(_name(words)),
    "check": lambda util, words: util.check(_name(words)),
    "check-and-start": lambda util, words: util.check_and_start(_name(words)),
    "start-master": lambda util, _: util.start_master(),
    "stop-master": lambda util, _: util.stop_several(_MASTER_STOP),
    "start-all": lambda util, _: util.start_all(),
    "stop-all": lambda util, _: util.stop_several(_STOP),
    "check-config": lambda util, _: util.check_config(),
    "check-exitcode": lambda _, words: _check_exit_code(words),
    "list-start-daemons": lambda _, __: _say(*(f"ganeti-{name}" for name in _START)),
    "list-stop-daemons": lambda _, __: _say(*(f"ganeti-{name}" for name in _STOP)),
    "is-daemon-name": lambda _, words: 0 if _name(words) else 1,
    "daemon-pidfile": lambda _, words: _say(f"/var/run/ganeti/{_name(words)}.pid"),
    "daemon-executable": lambda _, words: _say(f"{PROGRAMS}/{_name(words)}"),
    "rotate-logs": lambda util, words: util.rotate(_name(words)),
    "rotate-all-logs": lambda util, _: util.rotate_all(),
    "reload-ssh-keys": lambda util, _: util.reload_ssh(),
}


def main(words: "Sequence[str]", util: DaemonUtil) -> int:
    """Carry out a verb of Ganeti's daemon-util and return the exit code; a failure is told in a line."""
    verb = _VERBS.get(words[0]) if words else None
    if verb is None:
        _complain(f"Unknown command: {words[0]}" if words else "Usage: daemon-util <action>")
        return 1
    try:
        return verb(util, words[1:])
    except FailedError as error:
        _complain(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], DaemonUtil(SOCKET, SSH, SERVER_PEM, posix.environ)))
