"""What is known of an image that was fetched or built, in a small file beside it."""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from virtsupd.process.files import write_atomically


@dataclass(frozen=True, slots=True)
class Record:
    """How an image came to be, and what its file looked like then: a changed one is looked at again."""

    origin: str
    """The URL, as logs show it; or the operating system's file."""
    checksum: str
    """Of what the URL gave; or of what the build was made of."""
    digest: str
    """Of the image itself, which may have been compressed when it came; "" if nobody asked."""
    size_bytes: int
    modified_ns: int
    inode: int
    at: float
    """Unix time at which it was checked or built."""

    @classmethod
    def now(cls, file: Path, origin: str, checksum: str, digest: str, at: float) -> "Record":
        """Return the record of a file as it is; it may be given another name afterwards.

        Raises:
            OSError: it is not there.
        """
        found = file.stat()
        facts = (found.st_size, found.st_mtime_ns, found.st_ino)
        return cls(origin, checksum, digest, *facts, at)

    def fits(self, path: Path) -> bool:
        """Whether the file is as it was then, as far as its facts tell."""
        with contextlib.suppress(OSError):
            found = path.stat()
            facts = (found.st_size, found.st_mtime_ns, found.st_ino)
            return facts == (self.size_bytes, self.modified_ns, self.inode)
        return False


def record_file(image: Path) -> Path:
    """Return where the record of an image is."""
    return image.with_name(f"{image.name}.json")


def note(record: Record, image: Path) -> None:
    """Write down what is known of an image, to the disk.

    Raises:
        OSError: it cannot be written; what was known stands.
    """
    content = json.dumps(asdict(record), indent=1).encode()
    write_atomically(record_file(image), content, mode=0o644, is_lasting=True)


def read_record(image: Path) -> Record | None:
    """Return what is known of an image; None if nothing is, or it cannot be understood."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Record(**json.loads(record_file(image).read_text(encoding="utf-8")))
    return None
