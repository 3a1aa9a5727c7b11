"""Runs daemons of libvirt on one configuration after another: libvirt_asker.py SOCKET.

The main program of private namespaces. Whoever connects to SOCKET sends lines of JSON: `program`,
`arguments`, `conf` (the file's text), and gets one for each: `is_ready`, `status`, `output`. A daemon
that became ready is ended before the answer. Standard library only.
"""

import json
import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

READY_SECONDS = 20.0


def answer(question: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Start a daemon, see whether it becomes ready, end it."""
    conf, output = scratch / "conf", scratch / "daemon-output"
    conf.write_text(question["conf"], errors="surrogateescape")
    address = scratch / "ready"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, output.open("wb") as log:
        notify.bind(str(address))
        daemon = subprocess.Popen(
            [question["program"], "-f", str(conf), *question["arguments"]],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(address)},
        )
        is_ready = awaited(notify, daemon)
        if is_ready:
            daemon.terminate()
        else:
            daemon.kill()
        status = daemon.wait(READY_SECONDS)
    text = output.read_text(errors="replace")
    return {"is_ready": is_ready, "status": status, "output": text[-2000:]}


def awaited(notify: socket.socket, daemon: "subprocess.Popen[bytes]") -> bool:
    """Return whether the daemon says that it is ready before it ends."""
    ended, ready = os.pidfd_open(daemon.pid), notify.fileno()
    try:
        found, _, _ = select.select([ready, ended], [], [], READY_SECONDS)
    finally:
        os.close(ended)
    return ready in found and b"READY=1" in notify.recv(4096)


def main() -> None:
    """Answer one client until it hangs up."""
    path = Path(sys.argv[1])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        client, _ = listener.accept()
    with client, client.makefile("rw", encoding="utf-8") as stream:
        for line in stream:
            stream.write(json.dumps(answer(json.loads(line), path.parent)) + "\n")
            stream.flush()


main()
