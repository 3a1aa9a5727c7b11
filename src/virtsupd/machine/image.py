"""Seeing to a machine's image: it is fetched, built or laid upon, and then fit to start a QEMU with."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtsupd.machine.building import BuildError, build, inputs_digest, is_built
from virtsupd.machine.fetching import Patience, fetch
from virtsupd.machine.image_facts import account_of, demand_fit
from virtsupd.machine.image_record import Record, note, read_record
from virtsupd.machine.image_report import Report, mib
from virtsupd.machine.image_settings import Settings
from virtsupd.machine.image_source import (
    BuiltImage,
    ImageError,
    PathImage,
    UrlImage,
    base_of,
    place_of,
    source_of,
    state_of,
)
from virtsupd.machine.image_state import lay, sync_directory
from virtsupd.machine.unpacking import digest_of, unpack
from virtsupd.process.files import demand_own, make_directory

_MODE: Final = 0o644
"""Of an image that came over the network: QEMU's account reads it, and others may."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one run has to do, and with what."""

    settings: Settings
    report: Report
    is_again: bool = False
    """Whether what is there already is fetched or built once more."""
    patience: Patience | None = None
    now: Callable[[], float] = time.time  # noqa: TID251 - a moment for people, no distance


def see_to(work: Work) -> str:
    """Have the image there, and return in words what was done.

    One process at a time works on an image; others wait, and find it done.

    Raises:
        ImageError: it cannot be had, or no QEMU could be started with it.
        VirtsupdError: the directory of images is not ours alone.
        OSError: it cannot be written to.
    """
    settings = work.settings
    source = source_of(settings)
    if isinstance(source, PathImage):
        done = f"{source.path} is there"
    else:
        directory = Path(settings.directory)
        make_directory(directory, mode=0o755)
        demand_own(directory)
        with ExitStack() as locks:
            # The image may be that of several machines; what a guest has written is that of one.
            for path in sorted({place_of(settings), base_of(settings)}):
                locks.enter_context(_locked(path, work.report))
            done = _have(source, work)
    demand_usable(settings)
    return done


def demand_usable(settings: Settings) -> None:
    """Refuse an image that QEMU could not be started with now.

    Raises:
        ImageError: it could not.
    """
    place, source = place_of(settings), source_of(settings)
    if not os.path.lexists(place) and not isinstance(source, PathImage):
        action = "image-fetch" if isinstance(source, UrlImage) else "image-build"
        raise ImageError(
            f"cannot use the image {place}: it is not there yet; "
            f"virtsupctl {action} {settings.machine}"
        )
    demand_fit(
        place,
        account_of(settings.user, settings.group),
        is_written=settings.is_stateful,
        is_booted=settings.is_booted,
    )


def image_of(settings: Settings) -> str:
    """Return the path that QEMU is given, which it could be started with now.

    Raises:
        ImageError: it could not; the message says why, and what to do.
    """
    demand_usable(settings)
    return str(place_of(settings))


@contextmanager
def _locked(path: Path, report: Report) -> Iterator[None]:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path.with_name(f"{path.name}.lock"), flags, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report.status(f"waiting for another program that sees to {path.name}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _have(source: UrlImage | BuiltImage, work: Work) -> str:
    state = state_of(work.settings)
    if state is not None and state.exists():
        return _keep_state(state, source, work)
    base = base_of(work.settings)
    done = _fetched(source, base, work) if isinstance(source, UrlImage) else _built(source, work)
    if state is not None:
        lay(state, base, work.settings)
        return f"{done}; the guest's writes go to {state}"
    return done


def _keep_state(state: Path, source: UrlImage | BuiltImage, work: Work) -> str:
    """Go on with what a guest has written, and the image that this was laid on."""
    anew = f"to begin anew, remove {state}"
    if work.is_again:
        raise ImageError(
            f"{work.settings.machine} goes on with what its guest has written, in {state}, which "
            f"needs the image that it was laid on; {anew}"
        )
    record = read_record(state)
    wanted = str(source.checksum) if isinstance(source, UrlImage) else _inputs(source)
    if record is not None and wanted is not None and record.checksum != wanted:
        work.report.log(f"the image is another one by now; the guest goes on with its old; {anew}")
    return f"the guest goes on with what it has written, in {state}"


def _inputs(source: BuiltImage) -> str | None:
    try:
        return inputs_digest(source)
    except BuildError:  # the file is gone, and nothing needs it any more
        return None


def _fetched(source: UrlImage, base: Path, work: Work) -> str:
    if not work.is_again and _is_cached(source, base, work):
        return f"{base} is there, and checked"
    part = base.with_name(f"{base.name}.part")
    fetch(source, part, work.report, work.patience)
    work.report.status(f"finishing {base.name}")
    if source.packing:
        ready = base.with_name(f"{base.name}.new")
        digest = f"sha256:{unpack(part, source.packing, ready, work.report)}"
    else:
        ready, digest = part, str(source.checksum)
    ready.chmod(_MODE)
    checksum = str(source.checksum)
    # Before the name: the record fits the file under either, so that nobody reads it all to be sure.
    note(Record.now(ready, source.shown_url, checksum, digest, work.now()), base)
    ready.replace(base)
    sync_directory(base.parent)
    part.unlink(missing_ok=True)
    return f"fetched {source.shown_url} to {base}, {mib(base.stat().st_size)}"


def _is_cached(source: UrlImage, base: Path, work: Work) -> bool:
    """Whether it is there and right; what is there and wrong is put aside."""
    record = read_record(base)
    if not base.is_file():
        return False
    wanted = str(source.checksum)
    digest = record.digest if record is not None and record.checksum == wanted else ""
    if not digest and not source.packing:
        digest = wanted
    if record is not None and digest and record.fits(base):
        return True
    kind, _, digits = digest.partition(":")
    if digits and digest_of(base, kind, work.report) == digits:
        note(Record.now(base, source.shown_url, wanted, digest, work.now()), base)
        return True
    aside = base.with_name(f"{base.name}.rejected")
    base.replace(aside)
    work.report.log(f"{base.name} is not what was fetched any more: put aside as {aside.name}")
    return False


def _built(source: BuiltImage, work: Work) -> str:
    link = base_of(work.settings)
    inputs = inputs_digest(source)
    record = read_record(link)
    if not work.is_again and record is not None and record.checksum == inputs and is_built(link):
        return f"{link.resolve()} is there, built of {source.os} as it is"
    path = build(source, link, work.settings.guix, work.report)
    note(Record.now(link, source.os, inputs, "", work.now()), link)
    return f"built {path} of {source.os}"
