"""What the guest of an image that is not ours to change has written: a file laid on that image."""

import os
import subprocess
from pathlib import Path
from typing import Final

from virtsupd.machine.image_facts import Account, account_of, format_of
from virtsupd.machine.image_record import note, read_record
from virtsupd.machine.image_settings import Settings
from virtsupd.machine.image_source import ImageError

_CREATE_SECONDS: Final = 60.0


def lay(state: Path, base: Path, settings: Settings) -> None:
    """Make the file that a guest's writes go to, for QEMU's account alone, laid on the image `base`.

    Raises:
        ImageError: it cannot be made; nothing is left of it.
        OSError: likewise.
    """
    account = account_of(settings.user, settings.group)
    below = base.resolve()  # what was built next would be another under the same name
    new = state.with_name(f"{state.name}.new")
    new.unlink(missing_ok=True)
    kind = format_of(below)
    command = [settings.qemu_img, "create", "-q", "-f", "qcow2", "-F", kind, "-b", str(below)]
    try:
        _run([*command, str(new)])
        _give(new, account)
        record = read_record(base)
        if record is not None:
            note(record, state)
        new.replace(state)
        sync_directory(state.parent)
    finally:
        new.unlink(missing_ok=True)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_CREATE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ImageError(f"cannot run {command[0]}: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise ImageError(f"cannot make {command[-1]}: {said}")


def _give(path: Path, account: Account) -> None:
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, account.uid, account.gid)


def sync_directory(directory: Path) -> None:
    """Force the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
