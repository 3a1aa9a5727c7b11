"""A server of images that does what servers and networks do: it breaks off, stalls, lies, leads away."""

import hashlib
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Act = Callable[["Handler"], None]


class ImageServer:
    """Serves one content under every name; `acts` are done instead, one for each request."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.etag: str | None = '"first"'
        self.knows_ranges = True
        self.tells_length = True
        self.acts: deque[Act] = deque()
        self.asked: list[tuple[str, str | None, str | None]] = []
        """Path, Range and If-Range of each request."""
        self.url = ""
        self.released = threading.Event()
        """Lets go of what stalls."""

    @property
    def checksum(self) -> str:
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    @property
    def state(self) -> ImageServer:
        assert isinstance(self.server, _Server)
        return self.server.state

    def do_GET(self) -> None:
        state = self.state
        state.asked.append((self.path, self.headers["Range"], self.headers["If-Range"]))
        act = state.acts.popleft() if state.acts else serve
        self.close_connection = True
        act(self)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    state: ImageServer
    daemon_threads = False

    def handle_error(self, *_: object) -> None:
        """A client that went away is what is tested."""


def serve(handler: Handler, *, bytes_sent: int | None = None, length: int | None = None) -> None:
    """Answer as a server does that knows ranges."""
    state = handler.state
    content, start = state.content, 0
    asked = handler.headers["Range"]
    is_same = handler.headers["If-Range"] in (None, state.etag)
    if asked and state.knows_ranges and is_same:
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206)
        whole = len(content)
        handler.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
    else:
        handler.send_response(200)
    if state.etag is not None:
        handler.send_header("ETag", state.etag)
    said = len(content) - start if length is None else length
    if state.tells_length:
        handler.send_header("Content-Length", str(said))
    handler.end_headers()
    end = None if bytes_sent is None else start + bytes_sent
    handler.wfile.write(content[start:end])


def breaking_off(after: int) -> Act:
    """Close the connection after so many bytes."""
    return lambda handler: serve(handler, bytes_sent=after)


def claiming(length: int) -> Act:
    """Say another length than is sent."""
    return lambda handler: serve(handler, length=length)


def stalling(after: int) -> Act:
    """Send so many bytes, and then nothing until it is released."""

    def act(handler: Handler) -> None:
        serve(handler, bytes_sent=after)
        handler.wfile.flush()
        handler.state.released.wait(30)

    return act


def refusing(code: int) -> Act:
    """Answer with a code and nothing else."""

    def act(handler: Handler) -> None:
        handler.send_response(code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return act


def leading_to(url: str) -> Act:
    """Redirect."""

    def act(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", url)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return act


def saying(text: bytes) -> Act:
    """Answer with these bytes, whatever they are."""

    def act(handler: Handler) -> None:
        handler.wfile.write(text)

    return act


@contextmanager
def image_server(content: bytes, tls: tuple[Path, Path] | None = None) -> Iterator[ImageServer]:
    """Serve on a port of 127.0.0.1; with `tls`, a certificate and its key."""
    state = ImageServer(content)
    server: Any = _Server(("127.0.0.1", 0), Handler)
    server.state = state
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    state.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
