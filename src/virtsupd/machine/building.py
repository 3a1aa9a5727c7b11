"""Building an image with Guix: `guix system image`, kept from its garbage collector.

The result lies in the store. A link of ours is a root of the collector for as long as the image is
used: each build has a link of its own, and one with a fixed name leads to the one that counts.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from virtsupd.machine.image_report import Report
from virtsupd.machine.image_source import BuiltImage, ImageError

PLACES: Final = "/run/current-system/profile/bin:/root/.config/guix/current/bin:/usr/local/bin"
"""Where Guix is, beside what PATH says."""
_LAST_LINES: Final = 5
_LINE_BYTES: Final = 4096
_SHOWN_DIGITS: Final = 12
_OUTPUT_BYTES: Final = 1 << 16


class BuildError(ImageError):
    """Guix has not built the image; the one that was built before is as it was."""

    code = "image-not-built"


def inputs_digest(source: BuiltImage) -> str:
    """Return what changes when the file, the type or the size does, and nothing else.

    Modules that the file uses, and the version of Guix, are not looked at.

    Raises:
        BuildError: the file cannot be read.
    """
    try:
        content = Path(source.os).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BuildError(f"cannot read os = {source.os}: {reason}") from error
    told = f"{source.image_type}\0{source.size_bytes}\0".encode()
    return f"sha256:{hashlib.sha256(told + content).hexdigest()}"


def build(source: BuiltImage, link: Path, program: str, report: Report) -> Path:
    """Have Guix build the image, and `link` lead to it; return the store's path.

    It takes as long as it takes: minutes if all can be downloaded, else hours.

    Raises:
        BuildError: Guix is not there, or has failed; `link` leads where it led.
        OSError: `link` cannot be made.
    """
    found = _find(program)
    digits = inputs_digest(source).partition(":")[2][:_SHOWN_DIGITS]
    root = link.with_name(f"{link.name}.{digits}-{os.urandom(3).hex()}")
    path = _made(_command(found, source, root), report)
    if not root.is_symlink():
        root.symlink_to(path)
    _lead(link, root)
    _drop_others(link, root)
    return path


def is_built(link: Path) -> bool:
    """Whether an image is there that was built."""
    return link.is_symlink() and link.exists()


def _find(program: str) -> str:
    path = f"{os.environ.get('PATH', os.defpath)}:{PLACES}"
    found = shutil.which(program, path=path)
    if found is None:
        raise BuildError(
            f"cannot build the image: there is no {program} in {path}; install Guix, or set image "
            "to the path of a disk image, or to a URL together with checksum, instead of os"
        )
    return found


def _command(guix: str, source: BuiltImage, root: Path) -> list[str]:
    size = [] if source.size_bytes is None else [f"--image-size={source.size_bytes}"]
    kind = f"--image-type={source.image_type}"
    return [guix, "system", "image", kind, *size, f"--root={root}", source.os]


def _made(command: list[str], report: Report) -> Path:
    """Run Guix to its end; return the path that it prints.

    It is in our process group, and gets what ends us.
    """
    report.log(f"building: {' '.join(command)}")
    report.status("building: Guix has begun")
    with tempfile.TemporaryFile() as output:
        last = _run(command, output, report)
        output.seek(0)
        printed = output.read(_OUTPUT_BYTES).decode(errors="replace").split()
    path = Path(printed[-1]) if printed else None
    if path is None or not path.is_absolute() or not path.exists():
        found = printed[-1] if printed else "nothing"
        raise BuildError(f"cannot build the image: guix printed {found}, and no path; {last}")
    return path


def _run(command: list[str], output: IO[bytes], report: Report) -> str:
    """Run Guix, its messages to the log; return the last ones."""
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        process = subprocess.Popen(  # noqa: S603 - words of the table, and no shell
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE
        )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BuildError(f"cannot build the image: {command[0]}: {reason}") from error
    with process:
        for text in _lines(process.stderr):
            last.append(text)
            report.log(text)
            report.status(f"building: {text}")
    said = "; ".join(last) or "guix said nothing"
    if process.returncode != 0:
        raise BuildError(f"cannot build the image: guix {_ending(process.returncode)}: {said}")
    return said


def _ending(code: int) -> str:
    return f"ended with {code}" if code > 0 else f"was ended by signal {-code}"


def _lines(stream: IO[bytes] | None) -> Iterator[str]:
    """Yield what is said; a bar of progress is one line again and again, parted by returns."""
    while stream is not None and (line := stream.readline(_LINE_BYTES)):
        text = line.decode(errors="replace").rstrip().rsplit("\r", 1)[-1].strip()
        if text:
            yield text


def _lead(link: Path, target: Path) -> None:
    """Have a link lead to another, at once and for good."""
    new = link.with_name(f".{link.name}.{os.urandom(4).hex()}")
    new.symlink_to(target.name)
    try:
        new.replace(link)
    except OSError:
        new.unlink()
        raise


def _drop_others(link: Path, kept: Path) -> None:
    """Let the collector have what was built before."""
    for other in link.parent.glob(f"{link.name}.*-*"):
        if other != kept and other.is_symlink():
            other.unlink()
