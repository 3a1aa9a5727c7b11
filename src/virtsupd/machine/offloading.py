"""`python -m virtsupd.machine.offloading add|remove|hold FILE`: offer a machine to the host's Guix.

The guest's signing key goes into the host's acl, and the machine into its machines.scm. virtsupd runs `hold`
beside a machine that can be reached: it offers it, and takes it back at TERM; and `remove` after it, should it
have been killed. Nothing is changed if all is as it should be.
"""

import contextlib
import fcntl
import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from virtsupd.errors import VirtsupdError
from virtsupd.machine.acl import EMPTY, AclError, authorized, is_authorized, revoked
from virtsupd.machine.build_machines import BuildMachine, with_machine, without_machine
from virtsupd.machine.offload_settings import OffloadSettings
from virtsupd.machine.scheme_text import SchemeError
from virtsupd.process.files import write_atomically
from virtsupd.process.own_notify import OwnNotify
from virtsupd.process.settings_file import read_settings

_MODE: Final = 0o644
_ENDS: Final = {signal.SIGTERM, signal.SIGINT}
_LOCK: Final = ".virtsupd.lock"
_RECORD: Final = ".virtsupd.json"
_OWN_MODE: Final = 0o600


class NotOfferedError(VirtsupdError):
    """A machine cannot be offered to the host's Guix, or taken back; the message says why."""

    code = "offloading"


def add(settings: OffloadSettings) -> Iterator[str]:
    """Offer the machine; yield what was done, in words.

    Raises:
        NotOfferedError: one of its keys is missing, or a file of Guix's cannot be understood.
        OSError: a file cannot be read or written; each is as it was, or as it should be.
    """
    root = Path(settings.secret_root)
    key = _content(root / "etc/guix/signing-key.pub")
    host_key = _content(root / "etc/ssh/ssh_host_ed25519_key.pub")
    if key is None or host_key is None:
        raise NotOfferedError(f"{root} has no etc/guix/signing-key.pub or no SSH host key")
    machine = BuildMachine(
        settings.machine,
        settings.ssh_port,
        settings.systems,
        settings.user,
        host_key,
        settings.private_key,
        settings.threshold,
    )
    with _guix(settings) as directory:
        acl, machines = directory / "acl", directory / "machines.scm"
        with _owners(directory) as owners:
            is_foreign = key not in owners and _is_accepted(acl, key)
            if not is_foreign:
                owners.setdefault(key, set()).add(settings.machine)
        if _change(acl, lambda text: authorized(text or EMPTY, key)):
            yield f"{acl} accepts what it signs"
        if _change(machines, lambda text: with_machine(text, machine)):
            yield f"{machines} has it, at port {settings.ssh_port}"


def remove(settings: OffloadSettings) -> Iterator[str]:
    """Take the machine back; yield what was done, in words.

    Raises:
        NotOfferedError: a file of Guix's cannot be understood.
        OSError: a file cannot be read or written.
    """
    key = _content(Path(settings.secret_root) / "etc/guix/signing-key.pub")
    with _guix(settings) as directory:
        acl, machines = directory / "acl", directory / "machines.scm"
        if _change(machines, lambda text: _without(text, settings.machine)):
            yield f"{machines} does not have it any more"
        if key is None:
            return
        with _owners(directory) as owners:
            others = owners.get(key, {settings.machine, "whoever accepted it"}) - {settings.machine}
            if others:  # one with the same key is offered still, or somebody else accepted it
                if key in owners:
                    owners[key] = others
                return
            if _change(acl, lambda text: text and revoked(text, key)):
                yield f"{acl} does not accept what it signs any more"
            del owners[key]


@contextlib.contextmanager
def _owners(directory: Path) -> Iterator[dict[str, set[str]]]:
    """Lend the record of the keys that we had accepted: by key, the machines of ours that have it.

    A key that is not in it was accepted by somebody else, and stays so. A record that is damaged tells of none.
    """
    path = directory / _RECORD
    try:
        said = json.loads(_content(path) or "{}")
        before = {str(key): set(map(str, names)) for key, names in said.items()}
    except (ValueError, AttributeError, TypeError):
        before = {}
    owners = {key: set(names) for key, names in before.items()}
    yield owners
    if owners and owners != before:
        content = json.dumps({key: sorted(names) for key, names in owners.items()})
        write_atomically(path, content.encode(), mode=_OWN_MODE, is_lasting=True)
    elif not owners:
        path.unlink(missing_ok=True)


def _is_accepted(acl: Path, key: str) -> bool:
    try:
        return is_authorized(_content(acl) or EMPTY, key)
    except AclError as error:
        raise NotOfferedError(f"{acl} {error}; it is as it was") from error


def _without(text: str | None, name: str) -> str | None:
    return without_machine(text, name) if text is not None else None


@contextlib.contextmanager
def _guix(settings: OffloadSettings) -> Iterator[Path]:
    """Hold the directory of the host's Guix against other machines of ours.

    Raises:
        NotOfferedError: there is none.
    """
    directory = Path(settings.directory)
    if not directory.is_dir():
        raise NotOfferedError(f"there is no {directory}: no Guix builds on this host")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(directory / _LOCK, flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory
    finally:
        os.close(lock)


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _change(path: Path, change: Callable[[str | None], str | None]) -> bool:
    """Change a file as a whole; a link is replaced by a file, as Guix does. Return whether it was."""
    before = _content(path)
    try:
        after = change(before)
    except (AclError, SchemeError) as error:
        raise NotOfferedError(f"{path} {error}; it is as it was") from error
    if after == before:
        return False
    if after is None:
        path.unlink()
        return True
    mode = stat.S_IMODE(path.stat().st_mode) if before is not None else _MODE
    write_atomically(path, after.encode(), mode=mode, is_lasting=True)
    return True


def main(words: Sequence[str], say: Callable[[str], object] = print) -> int:
    """Say what was done, line by line; return 0 if all is as it should be, else 1."""
    action, file = words
    works = {"add": (add,), "remove": (remove,), "hold": (add, _wait, remove)}[action]
    try:
        settings = read_settings(Path(file), OffloadSettings)
        for work in works:
            for done in work(settings):
                say(done)
    except OSError as error:
        say(f"{error.filename}: {error.strerror}")
        return 1
    except VirtsupdError as error:
        say(str(error))
        return 1
    return 0


def _wait(_: OffloadSettings) -> Iterator[str]:
    """Say READY=1, and return at TERM or INT, which wait since the program began."""
    OwnNotify().say("READY=1")
    signal.sigwait(_ENDS)
    yield from ()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    sys.exit(main(sys.argv[1:]))
