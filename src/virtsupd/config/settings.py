"""What `[host]` and `[access]` say, checked and resolved: frozen, no pydantic, for every layer above."""

from collections.abc import Callable, Iterable
from dataclasses import field
from pathlib import Path
from typing import Literal

from virtsupd.config.problems import Fault
from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import ShutdownPolicy

Role = Literal["viewer", "operator", "admin"]
OnTerm = Literal["auto", "quit", "shutdown"]
LogFormat = Literal["auto", "console", "json"]


@frozen
class HostSettings:
    """The `[host]` table. All paths are absolute."""

    run_dir: Path = Path("/run/virtsupd")
    """Records, generated files, FIFOs: what need not outlive a boot."""
    state_dir: Path = Path("/var/lib/virtsupd")
    """What outlives a boot: wanted and enabled."""
    log_dir: Path = Path("/var/log/virtsupd")
    """Log files of services that name none."""
    socket: Path = Path("/run/virtsupd/control")
    """The control socket; at most 107 bytes long."""
    herd_socket: Path | None = None
    """A second socket that speaks herd's language only; None for none."""
    unit_dirs: tuple[Path, ...] = (Path("/etc/virtsupd/units"),)
    """Directories of unit files, later ones winning key by key."""
    on_term: OnTerm = "auto"
    """What SIGTERM means: `auto` is shutdown as PID 1 or in the foreground of a terminal, else quit."""
    cgroup: str | None = None
    """Name of the cgroup that holds the services' cgroups; None derives one from `run_dir`."""
    networking: Literal["wait", "assume"] = "wait"
    """Whether the condition `networking` waits for an address or takes it for granted."""
    log_format: LogFormat = "auto"
    """Of virtsupd's own log: `auto` is console on a terminal, else JSON lines."""
    shutdown: ShutdownPolicy = field(default_factory=ShutdownPolicy)
    """How guests and services end when everything is shut down."""

    @property
    def generated_dir(self) -> Path:
        """Where files made for services lie, one directory for each kind."""
        return self.run_dir / "generated"


@frozen
class AccessRule:
    """Grants a role to one user or one group, exactly one of `uid` and `gid` being set."""

    role: Role
    uid: int | None = None
    gid: int | None = None
    services: tuple[str, ...] | None = None
    """Canonical names it is limited to; None is all of them."""


@frozen
class AccessSettings:
    """The `[access]` table: who may connect, and as what."""

    mode: int = 0o600
    """Of the control socket."""
    owner: int | None = None
    """Number of the user that owns the socket; None is the daemon's own."""
    group: int | None = None
    """Number of the group of the socket; None is the daemon's own."""
    rules: tuple[AccessRule, ...] = ()


def _no_refusals() -> Iterable[Fault]:
    return ()


@frozen
class GeneratedFile:
    """A file that a service's table becomes; written before the service's first start."""

    path: Path
    mode: int
    """Values in a file that is not for everybody to read are shown to nobody."""
    content: str
    reader: Name | None = None
    """The service that has read it since its start. None: whoever reads it does so when he needs it."""
    reread: frozenset[str] = frozenset()
    """The keys in it that the reader reads again when it is told to reload."""
    after_reload: str = field(default="", compare=False)
    """What to say of a reload of the reader that does less than one may think: what it read again, and
    what takes another command."""
    refusals: Callable[[], Iterable[Fault]] = field(default=_no_refusals, compare=False)
    """What in it would end its reader on this host as it is now, at a start or when it reads it again.
    May ask the host, but not the network."""


@frozen
class GeneratedDirectory:
    """A directory that a service expects to exist; made, with its parents, before its first start."""

    path: Path
    mode: int
