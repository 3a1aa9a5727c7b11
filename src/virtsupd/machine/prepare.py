"""`python -m virtsupd.machine.prepare FILE`: have there what a machine needs before it starts, and end.

virtsupd runs it before the machine, as a one-shot. It makes what is missing and nothing else: a file that is
there is never written to, whatever is in it. It may be killed at any time, and run twice at once.
"""

import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from virtsupd.errors import VirtsupdError, in_one_line
from virtsupd.machine.account import see_to_account
from virtsupd.machine.acl import EMPTY, authorized
from virtsupd.machine.image_facts import account_of, as_account
from virtsupd.machine.prepare_settings import PrepareSettings
from virtsupd.machine.signing_key import signing_pair
from virtsupd.machine.ssh_keys import KINDS, KeyFileError, host_key, public_line
from virtsupd.process.new_files import NewFiles, new_files
from virtsupd.process.settings_file import read_settings

_PRIVATE, _PUBLIC = 0o600, 0o644
_SIGNING_SECRET, _SIGNING_PUBLIC = 0o400, 0o444
_LONGEST_BYTES: Final = 1 << 20


def prepare(settings: PrepareSettings) -> Iterator[str]:
    """Make what is missing; yield what was done, in words.

    Raises:
        VirtsupdError: something is missing and cannot be made, or is not what it has to be.
        OSError: a file or directory cannot be made.
    """
    yield from see_to_account(settings.user, settings.group)
    _demand_tmp(settings)
    if settings.secret_root is not None:
        yield from _fill(Path(settings.secret_root), settings)


def _demand_tmp(settings: PrepareSettings) -> None:
    tmp = settings.tmp_dir
    asked = ["test", "-d", tmp, "-a", "-w", tmp, "-a", "-x", tmp]
    if as_account(asked, account_of(settings.user, settings.group)).returncode != 0:
        raise KeyFileError(
            f"{settings.user}, who runs QEMU, may not write to {tmp}, where its snapshot goes (TMPDIR)"
        )


def _fill(root: Path, settings: PrepareSettings) -> Iterator[str]:
    with new_files() as made:
        made.add_directory(root, mode=0o700)
        made.wait_for_turn(root)  # several machines may have one root
        mode = stat.S_IMODE(root.stat().st_mode)
        if mode & 0o077:
            yield f"{root} is open to others (mode {mode:o}), and secrets lie there: chmod 700 {root}"
        made.add_directory(root / "etc/ssh", mode=0o755)
        yield from _ssh_keys(root / "etc/ssh", settings.machine, made)
        if settings.has_signing_key:
            made.add_directory(root / "etc/guix", mode=0o755)
            yield from _guix_files(root / "etc/guix", settings, made)
        if settings.offload_key is not None:
            yield from _offload_key(Path(settings.offload_key), root, made)


def _ssh_keys(directory: Path, comment: str, made: NewFiles) -> Iterator[str]:
    for kind in KINDS:
        private = directory / f"ssh_host_{kind}_key"
        public = private.with_name(f"{private.name}.pub")
        if not os.path.lexists(private):
            made.add(private, host_key(kind), mode=_PRIVATE)
            yield f"made {private}"
        if not os.path.lexists(public):
            try:
                line = public_line(_content(private), comment)
            except KeyFileError as error:
                raise KeyFileError(f"{private} {error}") from error
            made.add(public, line, mode=_PUBLIC)
            yield f"made {public}"


def _offload_key(private: Path, root: Path, made: NewFiles) -> Iterator[str]:
    """Have the key that the host logs in with, and the guest let it in."""
    made.add_directory(private.parent, mode=0o700)
    if not os.path.lexists(private):
        made.add(private, host_key("ed25519"), mode=_PRIVATE)
        yield f"made {private}"
    try:
        line = public_line(_content(private), "offloading")
    except KeyFileError as error:
        raise KeyFileError(f"{private} {error}") from error
    allowed = root / "etc/ssh/authorized_keys.d/offloading"
    made.add_directory(allowed.parent, mode=0o555)
    for path in (private.with_name(f"{private.name}.pub"), allowed):
        if not os.path.lexists(path):
            made.add(path, line, mode=_PUBLIC)
            yield f"made {path}"


def _guix_files(directory: Path, settings: PrepareSettings, made: NewFiles) -> Iterator[str]:
    public, secret = directory / "signing-key.pub", directory / "signing-key.sec"
    there = [path for path in (public, secret) if os.path.lexists(path)]
    if not there:
        texts = signing_pair()
        made.add(secret, texts[1].encode(), mode=_SIGNING_SECRET)
        made.add(public, texts[0].encode(), mode=_SIGNING_PUBLIC)
        yield f"made {public} and {secret}"
    elif len(there) == 1:
        other = secret if there == [public] else public
        raise KeyFileError(
            f"{there[0]} is there and {other} is not; put that back, or remove the one for a new pair"
        )
    acl = directory / "acl"
    if not os.path.lexists(acl):
        made.add(acl, _accepted(settings).encode(), mode=_PUBLIC)
        yield f"made {acl}"


def _accepted(settings: PrepareSettings) -> str:
    """Return what the guest accepts: what the host does, and what the host signs itself."""
    host_acl, key = Path(settings.host_acl), Path(settings.host_key)
    text = _content(host_acl).decode() if host_acl.exists() else EMPTY
    return authorized(text, _content(key).decode()) if key.exists() else text


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LONGEST_BYTES)


def main(words: Sequence[str], say: Callable[[str], object] = print) -> int:
    """Say what is made, line by line; return 0 if everything is there, else 1."""
    [file] = words
    try:
        for done in prepare(read_settings(Path(file), PrepareSettings)):
            say(done)
    except (VirtsupdError, OSError) as error:
        say(in_one_line(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
