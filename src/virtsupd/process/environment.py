"""The environment of a service: small defaults, the definition's variables, then its files."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from virtsupd.core.spec import ProcessSpec
from virtsupd.errors import SpawnError
from virtsupd.process.identity import Credentials

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are sought unless the service sets PATH."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_MAX_FILE_BYTES = 1024 * 1024


def service_environment(spec: ProcessSpec, credentials: Credentials) -> dict[str, str]:
    """Return all variables of a service's process; nothing of virtsupd's own is passed on but LANG.

    Later wins: PATH, LANG, HOME, USER, LOGNAME and SHELL; `environment`; the files in their order.
    Bytes that are not UTF-8 are kept as os.fsdecode keeps them.

    Raises:
        SpawnError: a file cannot be read, is no regular file, is larger than 1 MiB or holds a line
            that is not NAME=value (stage "environment"); permanent.
    """
    environment = {
        "PATH": DEFAULT_PATH,
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "HOME": credentials.home,
        "USER": credentials.user_name,
        "LOGNAME": credentials.user_name,
        "SHELL": credentials.shell,
    }
    environment.update(spec.environment)
    for file in spec.environment_files:
        environment.update(_read_file(file))
    return environment


def _read_file(file: str) -> Iterator[tuple[str, str]]:
    path = Path(file.removeprefix("-"))
    try:
        content = _content(path)
    except FileNotFoundError as error:
        if file.startswith("-"):
            return
        raise _refusal(f"cannot read environment file {path}: {error.strerror}") from error
    except OSError as error:
        raise _refusal(f"cannot read environment file {path}: {error.strerror}") from error
    if len(content) > _MAX_FILE_BYTES:
        raise _refusal(f"cannot read environment file {path}: more than {_MAX_FILE_BYTES} bytes")
    for number, line in enumerate(os.fsdecode(content).splitlines(), start=1):
        text = line.strip()
        if text and text[0] not in "#;":
            yield _parse_line(text, f"{path}:{number}")


def _content(path: Path) -> bytes:
    """Return what a regular file holds, a little more than the limit at most.

    Anything else of that name is opened without waiting for it (a FIFO has no end, or no beginning)
    and refused before it is read.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _refusal(f"cannot read environment file {path}: not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read(_MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)


def _parse_line(text: str, place: str) -> tuple[str, str]:
    """Split NAME=value; one pair of quotes around the whole value is taken off, nothing else."""
    name, equals, value = text.partition("=")
    name = name.removeprefix("export ").strip()
    if not equals or not _NAME.match(name) or "\0" in value:
        # The line itself may hold a secret: it is not shown.
        raise _refusal(f"cannot use {place}: not a line of the form NAME=value")
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return name, value


def _refusal(message: str) -> SpawnError:
    return SpawnError("environment", message, is_permanent=True)
