"""`python -m virtsupd.ganeti.health confd|rapi HOST PORT`: whether a daemon answers in its own protocol.

It is run as the daemon's account, and ends with 0 if so, else with 1 and a line that says what was seen.
The protocols are those of Ganeti 3.0 (lib/confd/client.py, doc/rapi.rst).
"""

import hashlib
import hmac
import http.client
import json
import secrets
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

KEY: Final = Path("/var/lib/ganeti/hmac.key")
_MAGIC: Final = b"plj0"
_PING: Final = 0
_SECONDS: Final = 5.0
_MOST_BYTES: Final = 65536
_STRANGE: Final = 500
"""Whatever is below shows that the server is alive, "who are you" (401) among it."""


class UnwellError(Exception):
    """A daemon answers, but not as one that is well."""


def ask_confd(host: str, port: int, key: bytes) -> None:
    """Return if confd answers a ping that is signed with the cluster's key.

    Raises:
        UnwellError: it answers something else.
        OSError: it does not answer within 5 s, or cannot be reached.
    """
    salt, nonce = str(int(time.time())), secrets.token_hex(8)
    question = json.dumps({"protocol": 1, "type": _PING, "query": None, "rsalt": nonce})
    packet = {"msg": question, "salt": salt, "hmac": _signature(key, salt, question)}
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.settimeout(_SECONDS)
        peer.connect((host, port))
        peer.send(_MAGIC + json.dumps(packet).encode())
        answer = peer.recv(_MOST_BYTES)
    try:
        found = json.loads(answer.removeprefix(_MAGIC))
        is_signed = hmac.compare_digest(found["hmac"], _signature(key, nonce, found["msg"]))
        status = json.loads(found["msg"])["status"]
    except (ValueError, LookupError, TypeError) as error:
        raise UnwellError(f"confd answers what is no answer: {answer[:60]!r}") from error
    if found["salt"] != nonce or not is_signed:
        raise UnwellError("confd's answer is not signed with the key of the cluster")
    if status != 0:
        raise UnwellError(f"confd answers a ping with status {status}")


def ask_rapi(host: str, port: int) -> None:
    """Return if rapi answers over HTTPS, be it that it wants a password. Its certificate is not checked.

    Raises:
        UnwellError: it answers with an error of its own.
        OSError, http.client.HTTPException: it does not answer within 5 s, or not in HTTPS.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    server = http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=context)
    try:
        server.request("GET", "/version")
        status = server.getresponse().status
    finally:
        server.close()
    if status >= _STRANGE:
        raise UnwellError(f"rapi answers with status {status}")


def _signature(key: bytes, salt: str, text: str) -> str:
    """Return what Ganeti signs with: the key is all of its file, the newline at its end included."""
    return hmac.new(key, (salt + text).encode(), hashlib.sha1).hexdigest()


def main(words: Sequence[str]) -> int:
    """Ask the daemon that the words name; return the exit code."""
    daemon, host, port = words
    try:
        if daemon == "confd":
            ask_confd(host, int(port), KEY.read_bytes())
        else:
            ask_rapi(host, int(port))
    except (UnwellError, OSError, http.client.HTTPException) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        sys.stdout.write(f"{daemon} at {host} port {port}: {why}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
