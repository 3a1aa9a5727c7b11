"""Opening what a URL names, from a byte on: https, http and file."""

import http.client
import io
import os
import re
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import IO, Final, Protocol
from urllib.parse import unquote, urlsplit

import virtsupd
from virtsupd.machine.image_source import ImageError

_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_LATER: Final = frozenset({408, 425, 429})
"""Refusals of a server that may think otherwise soon, beside its own failures (5xx)."""
_BAD_RANGE: Final = 416


class RemoteError(ImageError):
    """What a URL names cannot be had; nothing was read."""

    code = "image-not-fetched"

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final
        """Whether asking again would bring the same answer."""


class Body(Protocol):
    """What is read from."""

    def read1(self, size: int, /) -> bytes:
        """Return what is there, `size` bytes at most; b"" at the end."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a URL gives; to be closed by whoever opened it."""

    body: Body
    start: int
    """The byte that it begins with: the one asked for, or 0 if only all can be had."""
    total: int | None
    """How many bytes there are from the first one on, as far as the server says."""
    validator: str | None
    """What tells this content from a later one under the same name, for the same server."""


def open_at(url: str, offset: int, validator: str | None, *, stall_seconds: float) -> Answer:
    """Open what a URL names, from `offset` on if it is still what `validator` says.

    Redirects are followed, but not from https to http. Proxies are those that the environment names.

    Raises:
        RemoteError: it cannot be had.
    """
    if urlsplit(url).scheme.lower() == "file":
        return _open_file(url, offset, validator)
    try:
        return _open_remote(url, offset, validator, stall_seconds)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == _BAD_RANGE and offset:
                return _all_there(error.headers, offset) or open_at(
                    url, 0, None, stall_seconds=stall_seconds
                )
            raise _refused(error) from error
    except urllib.error.URLError as error:
        reason = error.reason if isinstance(error.reason, Exception) else error
        raise remote_error(reason) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise remote_error(error) from error


def remote_error(error: Exception) -> RemoteError:
    """Return what a failure of the network, before or in a transfer, is to be taken for."""
    if isinstance(error, RemoteError):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"the server's certificate is not trusted: {error.verify_message.lower()}"
        hint = "the variable SSL_CERT_FILE names the file of authorities"
        return RemoteError(f"{text}; {hint}", is_final=True)
    if isinstance(error, ssl.SSLError):
        return RemoteError(f"TLS failed: {(error.reason or str(error)).lower()}")
    if isinstance(error, TimeoutError):
        return RemoteError("the server has gone silent")
    if isinstance(error, OSError):
        return RemoteError((error.strerror or str(error)).lower())
    said = str(error) or type(error).__name__
    return RemoteError(f"the server's answer cannot be understood: {said}")


def _open_remote(url: str, offset: int, validator: str | None, stall_seconds: float) -> Answer:
    headers = {"User-Agent": f"virtsupd/{virtsupd.__version__}"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme was checked
    found = _opener().open(request, timeout=stall_seconds)
    validator = _validator(found.headers)
    if found.status != http.HTTPStatus.PARTIAL_CONTENT:
        return Answer(found, 0, _length(found.headers), validator)
    given = _RANGE.fullmatch(found.headers.get("Content-Range", ""))
    if given is None or int(given[1]) != offset:
        found.close()
        return _open_remote(url, 0, None, stall_seconds)
    return Answer(found, offset, None if given[2] == "*" else int(given[2]), validator)


def _opener() -> urllib.request.OpenerDirector:
    """Return what follows http and https, and nothing else that a redirect could name."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another place, as safe as the first."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request at the other place.

        Raises:
            RemoteError: TLS would end there, or it is none of the web.
        """
        scheme = urlsplit(newurl).scheme.lower()
        if scheme not in ("https", req.type):
            fp.close()
            raise RemoteError(f"it leads from {req.type} to {scheme}", is_final=True)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _validator(headers: Message) -> str | None:
    """Return what may stand in If-Range: a strong ETag, else the date of the last change."""
    tag = str(headers.get("ETag", ""))
    if tag and not tag.startswith("W/"):
        return tag
    return headers.get("Last-Modified")


def _length(headers: Message) -> int | None:
    text = str(headers.get("Content-Length", ""))
    return int(text) if text.isdecimal() else None


def _all_there(headers: Message, offset: int) -> Answer | None:
    """Return an empty rest, if the server says that what we have is all there is."""
    if headers.get("Content-Range", "").strip() == f"bytes */{offset}":
        return Answer(io.BytesIO(), offset, offset, None)
    return None


def _refused(error: urllib.error.HTTPError) -> RemoteError:
    is_final = 300 <= error.code < 500 and error.code not in _LATER
    return RemoteError(f"the server says {error.code} {error.reason}".rstrip(), is_final=is_final)


def _open_file(url: str, offset: int, validator: str | None) -> Answer:
    path = unquote(urlsplit(url).path)
    try:
        file = open(path, "rb")  # noqa: PTH123, SIM115 - the caller closes it
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RemoteError(f"{path}: {reason}", is_final=True) from error
    found = _facts_of(file)
    start = offset if validator == found.validator and offset <= (found.total or 0) else 0
    file.seek(start)
    return Answer(file, start, found.total, found.validator)


def _facts_of(file: io.BufferedReader) -> Answer:
    facts = os.fstat(file.fileno())
    said = f"{facts.st_dev}-{facts.st_ino}-{facts.st_size}-{facts.st_mtime_ns}"
    return Answer(file, 0, facts.st_size, said)
