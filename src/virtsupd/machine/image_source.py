"""Where a machine's image comes from: a file that is there, a URL, or a system that Guix builds."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from virtsupd.errors import VirtsupdError
from virtsupd.machine.image_settings import Settings

SCHEMES: Final = ("https", "http", "file")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_DIGITS: Final = {"sha256": 64, "sha512": 128}
_PACKED: Final = (".gz", ".xz", ".zst")
_SHOWN_DIGITS: Final = 20
"""Of a checksum in a file's name: enough to tell files apart; the record beside it has all."""
_STEM_LENGTH: Final = 60


class ImageError(VirtsupdError):
    """A machine's image is not what it should be, or cannot be had; the message says what to do."""

    code = "image"


class SourceError(ImageError):
    """The table does not say where the image comes from."""

    code = "bad-image-source"

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key
        """The key of the table that has to change."""


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a file's content has to come to."""

    kind: str
    """As hashlib names it."""
    digits: str
    """In hexadecimal, lower case."""

    def __str__(self) -> str:
        """Return it as a table has it."""
        return f"{self.kind}:{self.digits}"


@dataclass(frozen=True, slots=True)
class PathImage:
    """A file or a block device that somebody else sees to."""

    path: str


@dataclass(frozen=True, slots=True)
class UrlImage:
    """What a URL gives, known by its checksum wherever it comes from."""

    url: str
    checksum: Checksum

    @property
    def shown_url(self) -> str:
        """The URL for logs: a query may hold what opens a door."""
        parts = urlsplit(self.url)
        return parts._replace(query="…" if parts.query else "", fragment="").geturl()

    @property
    def packing(self) -> str:
        """How the URL's name says that it is compressed: ".gz", ".xz", ".zst", or ""."""
        suffix = PurePosixPath(_name(self.url)).suffix.lower()
        return suffix if suffix in _PACKED else ""

    @property
    def file_name(self) -> str:
        """The name of the file that it becomes, the same for all machines that have it."""
        path = PurePosixPath(_name(self.url))
        bare = PurePosixPath(path.stem if self.packing else path.name)
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", bare.stem).strip(".-")[:_STEM_LENGTH] or "image"
        suffix = ".qcow2" if bare.suffix.lower() == ".qcow2" else ".img"
        return f"{stem}-{self.checksum.digits[:_SHOWN_DIGITS]}{suffix}"


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """What `guix system image` makes of a Scheme file."""

    os: str
    image_type: str
    size_bytes: int | None


ImageSource = PathImage | UrlImage | BuiltImage


def parse_checksum(text: str) -> Checksum:
    """Return a checksum written as "sha256:" or "sha512:" and its digits in hexadecimal.

    Raises:
        SourceError: it is none.
    """
    kind, _, digits = text.partition(":")
    wanted = _DIGITS.get(kind)
    if wanted is None:
        raise SourceError("checksum", f'found {text!r}: begins with "sha256:" or "sha512:"')
    if not re.fullmatch(f"[0-9A-Fa-f]{{{wanted}}}", digits):
        raise SourceError(
            "checksum", f"found {text!r}: {kind} has {wanted} hexadecimal digits after the colon"
        )
    return Checksum(kind, digits.lower())


def source_of(settings: Settings) -> ImageSource:
    """Return where the image comes from; nothing is looked at but the settings.

    Raises:
        SourceError: they do not say it, or say two things.
    """
    if settings.image is None:
        return _built(settings)
    if settings.os is not None:
        raise SourceError("os", "goes without image, which says that there is one already")
    return _url(settings) if _URL.match(settings.image) else _path(settings)


def _built(settings: Settings) -> BuiltImage:
    if settings.checksum is not None:
        raise SourceError("checksum", "goes with an image that is a URL")
    if settings.os is None:
        raise SourceError(
            "image",
            "is missing: set it to the path of a disk image, or to a URL together with checksum; "
            "or set os to a Scheme file, where Guix can build an image of it",
        )
    return BuiltImage(settings.os, settings.image_type, settings.size_bytes)


def _path(settings: Settings) -> PathImage:
    path = str(settings.image)
    if not path.startswith("/"):
        raise SourceError("image", f"found {path!r}: a path begins with /, a URL with https://")
    if settings.checksum is not None:
        raise SourceError("checksum", "goes with an image that is a URL, such as file://" + path)
    return PathImage(path)


def _url(settings: Settings) -> UrlImage:
    url = str(settings.image)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise SourceError("image", f"found a URL that is none: {error}") from error
    if parts.scheme.lower() not in SCHEMES:
        raise SourceError("image", f"found a URL of {parts.scheme}: {', '.join(SCHEMES)} are known")
    _demand_place(url)
    if settings.checksum is None:
        raise SourceError(
            "checksum",
            'is missing: an image from a URL needs checksum = "sha256:…", as sha256sum prints it',
        )
    return UrlImage(url, parse_checksum(settings.checksum))


def _demand_place(url: str) -> None:
    parts = urlsplit(url)
    if re.search(r"[\x00-\x20\x7f]", url):
        raise SourceError("image", "found a URL with spaces in it: write %20")
    if parts.username is not None or parts.password is not None:
        raise SourceError("image", "found a URL with a user's name in it, which logs would show")
    if parts.scheme.lower() == "file":
        if parts.hostname not in (None, "localhost") or not parts.path.startswith("/"):
            raise SourceError("image", f"found {url!r}: a file's URL begins with file:///")
    elif not parts.hostname:
        raise SourceError("image", f"found {url!r}: names no host")


def _name(url: str) -> str:
    return PurePosixPath(unquote(urlsplit(url).path)).name


def place_of(settings: Settings) -> Path:
    """Return the path that QEMU is given; whether anything is there yet is not looked at.

    Raises:
        SourceError: the settings do not say where the image comes from.
    """
    state = state_of(settings)
    return base_of(settings) if state is None else state


def state_of(settings: Settings) -> Path | None:
    """Return where the writes of a guest go, laid on an image that is not ours to change.

    None: nowhere (they are lost when QEMU ends), or into the image itself, which is the operator's.

    Raises:
        SourceError: the settings do not say where the image comes from.
    """
    if not settings.is_stateful or isinstance(source_of(settings), PathImage):
        return None
    return Path(settings.directory) / f"{settings.machine}-state.qcow2"


def base_of(settings: Settings) -> Path:
    """Return the path of the image itself, on which the writes of a guest may be laid.

    Raises:
        SourceError: the settings do not say where the image comes from.
    """
    directory = Path(settings.directory)
    match source_of(settings):
        case PathImage(path):
            return Path(path)
        case UrlImage() as fetched:
            return directory / fetched.file_name
        case BuiltImage():
            return directory / f"{settings.machine}-guix"
