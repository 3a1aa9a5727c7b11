"""The small types of configuration values: durations, sizes, modes, names, paths.

Each parser takes what TOML holds and returns what the core wants; what it refuses raises
ValueError with a phrase that says what is allowed and completes "must be …".
"""

import re
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, Field, PlainValidator, Strict

from virtsupd.config.vocabulary import CAPABILITIES, LIMITS, SIGNALS, VERBS, require_known
from virtsupd.core.names import ALLOWED, Name, parse_name

MAX_SOCKET_PATH_BYTES: Final = 107
"""sun_path of unix(7) without the final NUL."""

_UNIT_SECONDS: Final = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_UNIT_BYTES: Final[dict[str, int]] = {"": 1, "B": 1} | {
    prefix + suffix: 1 << 10 * power
    for power, prefix in enumerate("KMGT", start=1)
    for suffix in ("", "B", "iB")
}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|sec|m|min|h|d)\Z", re.ASCII)
_SIZE: Final = re.compile(r"(\d+) ?([A-Za-z]*)\Z", re.ASCII)
_MODE: Final = re.compile(r"(?:0o?)?[0-7]{3}\Z", re.ASCII)
_ACTION: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}\Z", re.ASCII)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)


def duration(value: object) -> float:
    """Return seconds for 0, 2.5, "1500ms", "5s", "5 sec", "2min", "2m", "1h", "1d"."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e10:
        return float(value)
    found = _DURATION.match(value) if isinstance(value, str) else None
    if found is None or len(found[1]) > 12:
        raise ValueError('a duration: seconds from 0, or "1500ms", "5s", "2min", "1h", "1d"')
    return float(found[1]) * _UNIT_SECONDS[found[2]]


def positive_duration(value: object) -> float:
    """Return seconds, more than 0."""
    seconds = duration(value)
    if seconds == 0:
        raise ValueError('a duration longer than 0: seconds, or "1500ms", "5s", "2min", "1h"')
    return seconds


def size(value: object) -> int:
    """Return bytes for 4096, "10K", "2MB", "2MiB"; K, M, G and T are powers of 1024."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    found = _SIZE.match(value) if isinstance(value, str) else None
    factor = _UNIT_BYTES.get(found[2]) if found else None
    if found is None or factor is None or len(found[1]) > 19 or int(found[1]) * factor >= 2**63:
        raise ValueError('a size: bytes from 0, or "10K", "2MB", "2MiB", "1GiB" (powers of 1024)')
    return int(found[1]) * factor


def mode(value: object) -> int:
    """Return permission bits for an octal string: "0640", "022"."""
    if not isinstance(value, str) or not _MODE.match(value):
        raise ValueError('three octal digits as a string, such as "0640" or "022"')
    return int(value.removeprefix("0o"), 8)


def text(value: object) -> str:
    """Return a string that a process can be given."""
    if not isinstance(value, str):
        raise ValueError("a string")  # noqa: TRY004 - pydantic collects ValueErrors only
    if "\0" in value:
        raise ValueError("a string without the character NUL")
    return value


def filled_text(value: object) -> str:
    """Return a string of at least one character."""
    if not text(value):
        raise ValueError("a string that is not empty")
    return text(value)


def absolute_path(value: object) -> str:
    """Return a path that starts with a slash, without what makes no difference."""
    found = text(value)
    if not found.startswith("/"):
        raise ValueError("an absolute path, starting with /")
    if "//" in found or "/./" in found or (found.endswith("/") and found != "/"):
        found = "/" + "/".join(part for part in found.split("/") if part not in ("", "."))
    return found


def socket_path(value: object) -> str:
    """Return an absolute path short enough for a Unix socket."""
    found = absolute_path(value)
    length = len(found.encode())
    if length > MAX_SOCKET_PATH_BYTES:
        raise ValueError(
            f"a path of at most {MAX_SOCKET_PATH_BYTES} bytes for a Unix socket, this has {length}"
        )
    return found


def service_name(value: object) -> Name:
    """Return the name of a service or provision."""
    found = text(value)
    try:
        return parse_name(found)
    except ValueError as error:
        if "not free" in str(error):
            raise ValueError(f"another name: {found!r} means virtsupd itself") from error
        raise ValueError(f"a service name: {ALLOWED}") from error


def account(value: object) -> str:
    """Return the name or number of a user or group, as a string."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32 - 1:
        return str(value)
    if not isinstance(value, str) or not value or set(value) & set(":\0\n/ "):
        raise ValueError("a name of the user or group database, or a number")
    return value


def variable_name(value: object) -> str:
    """Return the name of an environment variable."""
    if not isinstance(value, str) or not _VARIABLE.match(value):
        raise ValueError("a variable's name: letters, digits and _, no digit first")
    return value


def environment_file(value: object) -> str:
    """Return an absolute path; a leading "-" says that the file may be missing."""
    found = text(value)
    try:
        path = absolute_path(found.removeprefix("-"))
    except ValueError as error:
        raise ValueError('an absolute path, with a leading "-" if it may be missing') from error
    return f"-{path}" if found.startswith("-") else path


def regular_expression(value: object) -> str:
    """Return a pattern that compiles."""
    found = filled_text(value)
    try:
        re.compile(found)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"a regular expression of Python's re module: {error}") from error
    return found


def signal(value: object) -> str:
    """Return "SIGTERM" for "TERM" or "SIGTERM"."""
    return require_known(
        "SIG" + text(value).upper().removeprefix("SIG"),
        SIGNALS,
        'a signal: "TERM", "SIGINT", "HUP", "USR1" …',
        prefix="SIG",
    )


def limit_name(value: object) -> str:
    """Return the name of a resource limit, lower case, without RLIMIT_."""
    return require_known(
        text(value).lower().removeprefix("rlimit_"), LIMITS, f"one of {', '.join(sorted(LIMITS))}"
    )


def capability(value: object) -> str:
    """Return "CAP_NET_ADMIN" for "net_admin" or "CAP_NET_ADMIN"."""
    return require_known(
        "CAP_" + text(value).upper().removeprefix("CAP_"),
        CAPABILITIES,
        "a capability of capabilities(7), such as CAP_NET_ADMIN",
        prefix="CAP_",
    )


def action_name(value: object) -> str:
    """Return the name of an action, which is no verb of virtsupctl or herd."""
    if not isinstance(value, str) or not _ACTION.match(value):
        raise ValueError(
            "a name of lower case letters, digits, _ and -, a letter first, at most 64 characters"
        )
    if value in VERBS:
        raise ValueError(
            "another name, since virtsupctl and herd would take it for their own verb; "
            f"taken are {', '.join(sorted(VERBS))}"
        )
    return value


def limit(value: object) -> tuple[int | None, int | None]:
    """Return soft and hard limit, None for infinity, from one value for both or a pair."""
    if not isinstance(value, list):
        both = _one_limit(value)
        return both, both
    if len(value) != 2:
        raise ValueError("one value, or a list of the soft and the hard limit")
    soft, hard = _one_limit(value[0]), _one_limit(value[1])
    if hard is not None and (soft is None or soft > hard):
        raise ValueError("a pair whose first number, the soft limit, is not above the second")
    return soft, hard


def _one_limit(value: object) -> int | None:
    if value == "infinity":
        return None
    try:
        return size(value)
    except ValueError as error:
        raise ValueError(
            'a number from 0, a size such as "64MiB", "infinity", or [soft, hard]'
        ) from error


def listen_address(value: object) -> str:
    """Return where a socket listens: /path, @abstract, HOST:PORT, [V6]:PORT or PORT."""
    found = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(found, str) or not found or "\0" in found:
        raise ValueError('"/path", "@abstract", "host:port", "[v6]:port", or a port')
    if found.startswith("/"):
        return socket_path(found)
    if found.startswith("@"):
        return _abstract(found)
    host, colon, port = found.rpartition(":")
    if not _is_port(port) or (colon and not _is_host(host)):
        raise ValueError(
            '"/path", "@abstract", "host:port", "[v6]:port", or a port from 1 to 65535'
        )
    return found


def own_listener(value: object) -> str:
    """Return where a service itself listens: /path, tcp:PORT, tcp:ADDRESS:PORT, udp:PORT, udp:ADDRESS:PORT."""
    found = text(value)
    if found.startswith("/"):
        return socket_path(found)
    protocol, _, place = found.partition(":")
    host, colon, port = place.rpartition(":")
    is_known = protocol in ("tcp", "udp") and _is_port(port)
    if not is_known or (colon and not _is_address(host)):
        raise ValueError('"/path", "tcp:PORT", "udp:PORT", or "tcp:ADDRESS:PORT", "tcp:[V6]:PORT"')
    return found


def _is_address(found: str) -> bool:
    is_v4 = _is_host(found) and set(found) <= set("0123456789.")
    return is_v4 or (found.startswith("[") and _is_host(found))


def _abstract(found: str) -> str:
    if not 1 < len(found.encode()) <= MAX_SOCKET_PATH_BYTES:
        raise ValueError(f"a name of 1 to {MAX_SOCKET_PATH_BYTES - 1} bytes after the @")
    return found


def _is_port(found: str) -> bool:
    return found.isascii() and found.isdigit() and len(found) <= 5 and 1 <= int(found) <= 65535


def _is_host(found: str) -> bool:
    """Whether it is an IPv4 address, a host name, or an IPv6 address in brackets."""
    if found.startswith("[") and found.endswith("]"):
        return _is_ipv6(found[1:-1].partition("%")[0])
    if set(found) <= set("0123456789.") and found:
        parts = found.split(".")
        return len(parts) == 4 and all(part.isdigit() and int(part) <= 255 for part in parts)
    return is_host_name(found)


def _is_ipv6(found: str) -> bool:
    # ipaddress costs 5 ms to import and is needed here alone.
    from ipaddress import AddressValueError, IPv6Address  # noqa: PLC0415 - see above

    try:
        IPv6Address(found)
    except AddressValueError:
        return False
    return True


def is_host_name(found: str) -> bool:
    """Whether it looks like a name of the DNS or of /etc/hosts."""
    return re.fullmatch(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?", found) is not None


def host(value: object) -> str:
    """Return a host name, an IPv4 address or an IPv6 address (without brackets)."""
    found = text(value)
    if not (_is_host(found) or (":" in found and _is_ipv6(found.partition("%")[0]))):
        raise ValueError("a host name or an IP address")
    return found


def domain_name(value: object) -> str:
    """Return the name of a libvirt domain."""
    found = filled_text(value)
    if "/" in found or not found.isprintable():
        raise ValueError("the name of a libvirt domain: printable, without a slash")
    return found


def libvirt_uri(value: object) -> str:
    """Return where a domain is defined: the libvirt of this host alone."""
    if value != "qemu:///system":
        raise ValueError('"qemu:///system": guests of this host, run by its libvirtd')
    return "qemu:///system"


def http_url(value: object) -> str:
    """Return an http URL with a host."""
    found = text(value)
    parts = re.fullmatch(r"http://(\[[^\]/]+\]|[^:/?#@\[\]]+)(?::(\d+))?([/?][!-~]*)?", found)
    if parts is None or not _is_host(parts[1]) or (parts[2] and not _is_port(parts[2])):
        raise ValueError('a URL such as "http://localhost:8080/health" (http only)')
    return found


def one_or_many(value: object) -> object:
    """Return a list, also for a single string."""
    return [value] if isinstance(value, str) else value


def _with_program(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or not value[0]:
        raise ValueError('a list whose first string names the program: ["/usr/bin/x", "argument"]')
    return value


def _not_empty(values: tuple[object, ...]) -> tuple[object, ...]:
    # Field(min_length=1) would also complain of a list whose items were refused.
    if not values:
        raise ValueError("a list that is not empty")
    return values


def _unique(values: Sequence[str]) -> Sequence[str]:
    if len(set(values)) < len(values):
        twice = next(item for index, item in enumerate(values) if item in values[:index])
        raise ValueError(f"a list without repetitions; {twice!r} stands in it twice")
    return values


NotEmpty = AfterValidator(_not_empty)
Text = Annotated[str, PlainValidator(text)]
Command = Annotated[tuple[Text, ...], AfterValidator(_with_program)]
FilledText = Annotated[str, PlainValidator(filled_text)]
Flag = Annotated[bool, Strict()]
Seconds = Annotated[float, PlainValidator(duration)]
PositiveSeconds = Annotated[float, PlainValidator(positive_duration)]
Bytes = Annotated[int, PlainValidator(size)]
Mode = Annotated[int, PlainValidator(mode)]
AbsolutePath = Annotated[str, PlainValidator(absolute_path)]
SocketPath = Annotated[str, PlainValidator(socket_path)]
ServiceName = Annotated[Name, PlainValidator(service_name)]
ServiceNames = Annotated[tuple[ServiceName, ...], AfterValidator(_unique)]
Account = Annotated[str, PlainValidator(account)]
VariableName = Annotated[str, PlainValidator(variable_name)]
EnvironmentFile = Annotated[str, PlainValidator(environment_file)]
Pattern = Annotated[str, PlainValidator(regular_expression)]
SignalName = Annotated[str, PlainValidator(signal)]
ActionName = Annotated[str, PlainValidator(action_name)]
LimitName = Annotated[str, PlainValidator(limit_name)]
LimitPair = Annotated[tuple[int | None, int | None], PlainValidator(limit)]
Capability = Annotated[str, PlainValidator(capability)]
ListenAddress = Annotated[str, PlainValidator(listen_address)]
OwnListener = Annotated[str, PlainValidator(own_listener)]
Host = Annotated[str, PlainValidator(host)]
HttpUrl = Annotated[str, PlainValidator(http_url)]
DomainName = Annotated[str, PlainValidator(domain_name)]
LibvirtUri = Annotated[str, PlainValidator(libvirt_uri)]
Port = Annotated[int, Strict(), Field(ge=1, le=65535)]
ExitCode = Annotated[int, Strict(), Field(ge=0, le=255)]
Count = Annotated[int, Strict(), Field(ge=0, le=1_000_000)]
PositiveCount = Annotated[int, Strict(), Field(ge=1, le=1_000_000)]
