"""Values of libvirt's configuration files that have a grammar, each parsed into a type of its own.

What a parser refuses raises ValueError with a phrase that completes "must be …". `str` of what it
returns is what libvirt reads.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, PlainValidator

from virtsupd.config.values import MAX_SOCKET_PATH_BYTES, absolute_path, host
from virtsupd.services.virconf import ConfText, conf_string

MAX_THREADS: Final = 1000
"""Of one pool, made at the daemon's start: libvirt ends where the host refuses it one of them."""

_LEVELS: Final = frozenset("1234")
_LONGEST_SOCKET: Final = "/libvirt-admin-sock"
_MAX_GROUP_ID: Final = 2**32 - 2
_PORT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,31}\Z", re.ASCII)
_MODE = re.compile(r"0?[0-7]{3}\Z", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}(\1[0-9a-f]{4}){2}\1[0-9a-f]{12}\Z", re.ASCII)
_UUID_PARTS: Final = (8, 12, 16, 20)
_NOT_IN_GROUPS: Final = set(":,/ ")
_DESTINATIONS: Final = '"3:stderr", "3:journald", "3:syslog:NAME" or "3:file:/PATH"'

Destination = Literal["stderr", "journald", "syslog", "file"]


class SocketMode(int, ConfText):
    """Permission bits of a socket, written in four octal digits."""

    def __str__(self) -> str:
        """Return "0770"."""
        return f"{int(self):04o}"


@dataclass(frozen=True, slots=True)
class LogFilter:
    """The least level of messages from the parts of the daemon that `match` names."""

    level: int
    """1 debug, 2 information, 3 warnings, 4 errors."""
    match: str
    """A part of the source's name, with shell wildcards; the leading + of old files is kept."""

    def __str__(self) -> str:
        """Return "3:remote"."""
        return f"{self.level}:{self.match}"


@dataclass(frozen=True, slots=True)
class LogOutput:
    """Where messages of a level and above go."""

    level: int
    destination: Destination
    target: str = ""
    """The identity in syslog, or the absolute path of the file."""

    def __str__(self) -> str:
        """Return "3:file:/var/log/libvirtd.log"."""
        return ":".join(part for part in (str(self.level), self.destination, self.target) if part)


class LogFilters(tuple[LogFilter, ...], ConfText):
    """Filters of which the first that matches counts."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return them with spaces between."""
        return " ".join(map(str, self))


class LogOutputs(tuple[LogOutput, ...], ConfText):
    """Every place that messages go to; of two for the same place libvirt takes the last."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return them with spaces between."""
        return " ".join(map(str, self))


def log_filters(value: object) -> LogFilters:
    """Return the filters of "3:remote 4:event"; none at all is fine."""
    if isinstance(value, LogFilters):
        return value
    return LogFilters(_log_filter(item) for item in conf_string(value).split())


def _log_filter(item: str) -> LogFilter:
    level, colon, match = item.partition(":")
    # What followed another colon libvirt would leave away without a word.
    if level not in _LEVELS or not colon or not match.removeprefix("+") or ":" in match:
        raise ValueError(
            'filters LEVEL:MATCH with spaces between, such as "3:remote 4:event", levels 1 (debug) '
            f"to 4 (errors); {item!r} is none"
        )
    return LogFilter(int(level), match)


def log_outputs(value: object) -> LogOutputs:
    """Return the outputs of "3:stderr 1:file:/var/log/libvirtd.log", one at least."""
    if isinstance(value, LogOutputs):
        return value
    items = conf_string(value).split()
    if not items:
        raise ValueError(f"outputs with spaces between: {_DESTINATIONS}; there is none")
    return LogOutputs(_log_output(item) for item in items)


def _log_output(item: str) -> LogOutput:
    level, _, rest = item.partition(":")
    destination, colon, target = rest.partition(":")
    if level in _LEVELS and ":" not in target:
        match destination:
            case "stderr" | "journald" if not colon:
                return LogOutput(int(level), destination)
            case "syslog" if target:
                return LogOutput(int(level), "syslog", target)
            case "file" if target.startswith("/"):
                return LogOutput(int(level), "file", target)
            case _:
                pass
    raise ValueError(
        f"outputs with spaces between: {_DESTINATIONS}, levels 1 (debug) to 4 (errors), no colon in "
        f"NAME or PATH; {item!r} is none"
    )


def socket_mode(value: object) -> SocketMode:
    """Return the permission bits of "0770" or "770"."""
    if isinstance(value, SocketMode):
        return value
    if not isinstance(value, str) or not _MODE.match(value):
        raise ValueError('three octal digits as a string, such as "0770"')
    return SocketMode(value, 8)


def port(value: object) -> str:
    """Return the number of a TCP port, as a string, or the name of a service."""
    found = conf_string(value)
    if not _PORT.match(found) or (found.isdigit() and not 1 <= int(found) <= 65535):
        raise ValueError(
            'a port from 1 to 65535 as a string, such as "16514", or a name of /etc/services'
        )
    return str(int(found)) if found.isdigit() else found


def listen_address(value: object) -> str:
    """Return a host name or an IP address without brackets; empty for every address."""
    found = conf_string(value)
    if found.startswith("["):
        raise ValueError("a host name or an IP address (IPv6 without brackets), or empty for all")
    return host(found) if found else ""


def uuid(value: object) -> str:
    """Return a UUID in lower case, with dashes; empty for none."""
    found = conf_string(value).lower()
    if found and (not _UUID.match(found) or len(set(found) - {"-"}) == 1):
        raise ValueError(
            'a UUID such as "8510b1a1-0afa-4da6-8111-785fae202c1d", digits not all the same, or empty'
        )
    digits, begin, parts = found.replace("-", ""), 0, []
    for end in (*_UUID_PARTS, len(digits)):
        parts.append(digits[begin:end])
        begin = end
    return "-".join(parts) if digits else ""


def optional_path(value: object) -> str:
    """Return an absolute path; empty for libvirt's own place."""
    found = conf_string(value)
    if found and not found.startswith("/"):
        raise ValueError("an absolute path, or empty for libvirt's own place")
    return found


def socket_directory(value: object) -> str:
    """Return an absolute path short enough for each of libvirtd's sockets in it."""
    found = absolute_path(conf_string(value))
    limit = MAX_SOCKET_PATH_BYTES - len(_LONGEST_SOCKET)
    length = len(found.encode())
    if length > limit:
        raise ValueError(f"a path of at most {limit} bytes for Unix sockets in it, has {length}")
    return found


def group(value: object) -> str:
    """Return the name or number of a group, as a string."""
    found = conf_string(value)
    is_number = found.isascii() and found.isdigit()
    if not found or set(found) & _NOT_IN_GROUPS or (is_number and int(found) > _MAX_GROUP_ID):
        raise ValueError('a group, such as "libvirt", or its number as a string')
    return found


def distinguished_name(value: object) -> str:
    """Return a pattern for the name in a client's certificate, as `certtool -i` prints it."""
    found = conf_string(value)
    if found != found.strip() or not set(found) & set("=*?["):
        raise ValueError(
            'the distinguished name of a certificate, such as "C=GB,O=Red Hat,CN=client1", where * '
            "stands for anything; this could match none"
        )
    return found


def user_name(value: object) -> str:
    """Return a pattern for the name of a SASL user."""
    found = conf_string(value)
    if not found or found != found.strip():
        raise ValueError('the name of a SASL user, such as "joe@EXAMPLE.COM", where * is anything')
    return found


ConfString = Annotated[str, PlainValidator(conf_string)]
Filters = Annotated[LogFilters, PlainValidator(log_filters)]
Outputs = Annotated[LogOutputs, PlainValidator(log_outputs)]
LogLevel = Annotated[int, Field(strict=True, ge=1, le=4)]
Mode = Annotated[SocketMode, PlainValidator(socket_mode)]
Port = Annotated[str, PlainValidator(port)]
Address = Annotated[str, PlainValidator(listen_address)]
Uuid = Annotated[str, PlainValidator(uuid)]
OptionalPath = Annotated[str, PlainValidator(optional_path)]
SocketDirectory = Annotated[str, PlainValidator(socket_directory)]
Group = Annotated[str, PlainValidator(group)]
Names = tuple[Annotated[str, PlainValidator(distinguished_name)], ...]
Users = tuple[Annotated[str, PlainValidator(user_name)], ...]
Unsigned = Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)]
Positive = Annotated[int, Field(strict=True, ge=1, le=2**32 - 1)]
Threads = Annotated[int, Field(strict=True, ge=0, le=MAX_THREADS)]
Interval = Annotated[int, Field(strict=True, ge=-1, le=2**31 - 1)]
