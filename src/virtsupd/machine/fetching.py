"""Fetching what a URL names into a file, in as many pieces as the network and our end make of it.

What has come is kept beside the name that it will have, and gone on with, whoever was killed. The
checksum is reckoned while it is written; the file has its name only when it is whole and right.
"""

import contextlib
import errno
import hashlib
import http.client
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtsupd.machine.image_http import Answer, RemoteError, open_at, remote_error
from virtsupd.machine.image_report import Report, mib
from virtsupd.machine.image_source import ImageError, UrlImage
from virtsupd.process.files import write_atomically
from virtsupd.times import span

_PART_BYTES: Final = 1 << 18
_CHECKING: Final = "checking what was fetched before:"


class FetchError(ImageError):
    """An image could not be fetched; what has come of it is kept, and will be gone on with."""

    code = "image-not-fetched"


class WrongChecksumError(ImageError):
    """What a URL gives is not what the checksum says; it was put aside, and nothing uses it."""

    code = "wrong-checksum"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a fetch waits for a server, and how often it tries again."""

    stall_seconds: float = 30.0
    """Without a byte for so long, a transfer is given up and begun anew where it stood."""
    pause_seconds: float = 1.0
    """Before the second try; doubled for each further one that brings nothing."""
    longest_pause_seconds: float = 60.0
    tries: int = 8
    """In a row that bring nothing: about two minutes, then the network is not there."""
    wait: Callable[[float], None] = time.sleep  # noqa: TID251 - to wait is what is meant


def fetch(source: UrlImage, part: Path, report: Report, patience: Patience | None = None) -> None:
    """Have `part` hold all of what a URL gives, checked and on the disk.

    What it holds already is gone on with. To be called by one process at a time.

    Raises:
        FetchError: it could not be had; `part` holds what has come.
        WrongChecksumError: it is something else, and `part` with ".rejected" instead.
        OSError: files beside `part` cannot be written.
    """
    with contextlib.closing(_Fetch(source, part, report, patience or Patience())) as work:
        work.run()


class _Fetch:
    """One fetch on its way."""

    def __init__(self, source: UrlImage, part: Path, report: Report, patience: Patience) -> None:
        self._source = source
        self._part = part
        self._report = report
        self._patience = patience
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(part, flags, 0o600)
        self._size = 0
        self._is_pieced = False
        """Whether what is there may be of two different contents."""
        self._digest = hashlib.new(source.checksum.kind)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def run(self) -> None:
        """Fetch until it is whole and right."""
        self._take_up()
        if self._size and self._is_right():
            return
        is_second = False
        while True:
            self._transfer()
            if self._is_right():
                os.fsync(self._file)
                _forget(self._validator_file)
                return
            if not self._is_pieced or is_second:
                raise self._rejected()
            is_second = True
            self._report.log("the pieces do not make what the checksum says: all is fetched again")
            self._begin_anew()

    def _take_up(self) -> None:
        """Reckon the checksum of what is there already."""
        total = os.fstat(self._file).st_size
        self._report.begin()
        while piece := os.pread(self._file, _PART_BYTES, self._size):
            self._digest.update(piece)
            self._size += len(piece)
            self._report.progress(_CHECKING, self._size, total)
        self._is_pieced = self._size > 0

    def _is_right(self) -> bool:
        return self._digest.hexdigest() == self._source.checksum.digits

    def _begin_anew(self) -> None:
        os.ftruncate(self._file, 0)
        _forget(self._validator_file)
        self._size = 0
        self._is_pieced = False
        self._digest = hashlib.new(self._source.checksum.kind)

    def _transfer(self) -> None:
        """Read to the end of what the server has, over as many connections as it takes."""
        fruitless = 0
        self._report.begin()
        while True:
            before = self._size
            try:
                self._read_on()
            except RemoteError as error:
                fruitless = 0 if self._size > before else fruitless + 1
                if error.is_final or fruitless >= self._patience.tries:
                    raise FetchError(self._failed(str(error))) from error
                self._pause(str(error), fruitless)
            else:
                return

    def _pause(self, reason: str, fruitless: int) -> None:
        longest = self._patience.longest_pause_seconds
        seconds = min(self._patience.pause_seconds * 2.0 ** max(fruitless - 1, 0), longest)
        text = f"{self._source.shown_url}: {reason}; again in {span(seconds)}"
        self._report.log(f"{text}, from {mib(self._size)} on")
        self._report.status(text)
        self._patience.wait(seconds)

    def _read_on(self) -> None:
        """Read from one connection until it ends.

        Raises:
            RemoteError: before the end of what is to come.
        """
        answer = open_at(
            self._source.url,
            self._size,
            self._validator(),
            stall_seconds=self._patience.stall_seconds,
        )
        with contextlib.closing(answer.body):
            if answer.start == 0:
                self._begin_anew()
            else:
                self._is_pieced = True
            self._demand_room(answer)
            self._note_validator(answer.validator)
            self._report.log(self._beginning(answer))
            self._copy(answer)
        if answer.total is not None and self._size < answer.total:
            there = f"{self._size} of {answer.total} bytes"
            raise RemoteError(f"the server broke off after {there}")

    def _copy(self, answer: Answer) -> None:
        while piece := _piece(answer):
            self._write(piece)
            self._digest.update(piece)
            self._size += len(piece)
            self._report.progress("fetching", self._size, answer.total)

    def _write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        at = self._size
        try:
            while rest:
                count = os.pwrite(self._file, rest, at)
                rest, at = rest[count:], at + count
        except OSError as error:
            os.ftruncate(self._file, self._size)  # what the digest has seen
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise FetchError(self._failed(f"{self._part.parent} is full; make room")) from error
            raise FetchError(self._failed(f"{self._part}: {error.strerror}")) from error

    def _demand_room(self, answer: Answer) -> None:
        """Refuse what would not fit; compressed, it needs as much again at the very least."""
        if answer.total is None:
            return
        needed = answer.total - self._size + (answer.total if self._source.packing else 0)
        found = os.fstatvfs(self._file)
        free = found.f_bavail * found.f_frsize
        if free < needed:
            text = f"it takes {mib(needed)}, and {self._part.parent} has {mib(free)}; make room"
            raise FetchError(self._failed(text))

    @property
    def _validator_file(self) -> Path:
        return self._part.with_name(f"{self._part.name}.json")

    def _validator(self) -> str | None:
        """Return what tells whether the server still has what was begun with; None: nothing does."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            found = json.loads(self._validator_file.read_text(encoding="utf-8"))
            # Another server has names of its own for the content; the checksum holds for all.
            if found["url"] == self._source.url:
                return str(found["validator"])
        return None

    def _note_validator(self, validator: str | None) -> None:
        if validator is not None and validator != self._validator():
            said = {"url": self._source.url, "validator": validator}
            write_atomically(self._validator_file, json.dumps(said).encode(), mode=0o600)

    def _beginning(self, answer: Answer) -> str:
        whole = "" if answer.total is None else f", {mib(answer.total)}"
        on = f", from {mib(answer.start)} on" if answer.start else ""
        return f"fetching {self._source.shown_url}{whole}{on}"

    def _failed(self, reason: str) -> str:
        kept = f"; the {mib(self._size)} that have come are kept" if self._size else ""
        return f"cannot fetch {self._source.shown_url}: {reason}{kept}"

    def _rejected(self) -> WrongChecksumError:
        aside = self._part.with_name(f"{self._part.name.removesuffix('.part')}.rejected")
        self._part.replace(aside)
        _forget(self._validator_file)
        wanted = self._source.checksum
        found = f"{wanted.kind}:{self._digest.hexdigest()}"
        return WrongChecksumError(
            f"cannot use {self._source.shown_url}: its checksum is {found}, and {wanted} is "
            f"expected; it lies at {aside}, unused. If it is the one you want, change checksum"
        )


def _piece(answer: Answer) -> bytes:
    try:
        return answer.body.read1(_PART_BYTES)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise remote_error(error) from error


def _forget(file: Path) -> None:
    file.unlink(missing_ok=True)
