"""The replies of `org.virtsupd.Supervisor` as types; imported by type checkers and tests alone."""

from collections.abc import Iterator
from typing import Any, Protocol, TypedDict


class Caller(Protocol):
    """What a session needs of `virtsupd.control.client.Client`, which says what it raises."""

    timeout: float | None
    """Seconds the next answer may take; None: for ever."""

    def call(self, method: str, parameters: dict[str, object] | None = None) -> dict[str, Any]:
        """Call a method with one reply."""
        ...

    def stream(
        self, method: str, parameters: dict[str, object] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Call a method with many replies."""
        ...

    def await_end(self) -> None:
        """Wait until virtsupd ends the connection."""
        ...

    @property
    def peer_uid(self) -> int:
        """The account that listens at the socket; there has to be a connection."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Exit(TypedDict):
    """One end of a service's process."""

    code: int | None
    signal: str | None
    text: str
    at: float


class Reason(TypedDict):
    """Why a service is not simply running or stopped as asked."""

    kind: str
    text: str
    retry_at: float | None
    names: list[str]


class Change(TypedDict):
    """One past change of state."""

    state: str
    at: float


class Action(TypedDict):
    """An extra command of a service."""

    name: str
    description: str
    interactive: bool


class Job(TypedDict):
    """A run of a timer's command that is under way."""

    cause: str
    began: float
    phase: str
    due: float | None


class JobRun(TypedDict):
    """A job that has ended."""

    code: int | None
    signal: str | None
    text: str
    began: float
    ended: float


class Timer(TypedDict):
    """When jobs run, and what ran, newest first."""

    expressions: list[str]
    kind: str
    timezone: str | None
    jitter: float
    catch_up: float | None
    timeout: float | None
    fires_at: float | None
    missed_at: float | None
    held: bool
    held_until: float | None
    job: Job | None
    runs: list[JobRun]
    skipped: int


class Service(TypedDict):
    """One service; lists of the past are newest first, times are Unix times."""

    name: str
    provides: list[str]
    description: str
    kind: str
    requires: list[str]
    binds_to: list[str]
    wants: list[str]
    after: list[str]
    before: list[str]
    conflicts: list[str]
    part_of: list[str]
    state: str
    wanted: bool
    wanted_by: str
    wanted_since: float
    enabled: bool
    failed: bool
    done: bool
    pid: int | None
    once: list[str]
    since: float
    reason: Reason | None
    status_text: str
    status_since: float | None
    restarts: int
    last_exit: Exit | None
    exits: list[Exit]
    changes: list[Change]
    replacement_pending: bool
    reload_pending: bool
    warnings: list[str]
    command: list[str]
    domain: list[str] | None
    """Of a guest of libvirt's: its name, and the URI of the libvirt."""
    log_files: list[str]
    actions: list[Action]
    transient: bool
    respawn: bool
    stop_mode: str
    source: str
    timer: Timer | None


class ChangedKey(TypedDict):
    """One key of a definition, or of a generated file, before and after."""

    key: str
    old: str | None
    new: str | None
    when: str
    file: str


class Step(TypedDict):
    """What a reload does to one service."""

    name: str
    kind: str
    fate: str
    new: bool
    up: bool
    told: bool
    changed: bool
    keys: list[ChangedKey]
    for_others: list[str]
    command: list[str]
    touches: list[str]
    guests: list[str]
    harms: list[str]


class Next(TypedDict):
    """What happens to a service next; text, at and then make a sentence."""

    kind: str
    text: str
    at: float | None
    then: str
    names: list[str]
    command: list[str]


class Link(TypedDict):
    """One service of a chain of causes."""

    service: Service
    why: str
    since: float | None
    causes: list[str]
    next: Next
    needed_by: list[str]
    log: list[str]


class Explanation(TypedDict):
    """Why a service is as it is: its own link first."""

    name: str
    culprits: list[str]
    links: list[Link]


class Waiting(TypedDict):
    """One guest or service that a shutdown waits for."""

    name: str
    guest: bool
    host: str | None
    did: str
    due: float | None
    then: str


class HostShutdown(TypedDict):
    """A shutdown under way."""

    by: str
    since: float
    deadline: float
    phase: str
    guests: int
    guests_ended: int
    waits: list[Waiting]


class Daemon(TypedDict):
    """What virtsupd knows of itself."""

    pid: int
    version: str
    since: float
    config: str
    socket: str
    phase: str
    warnings: list[str]
    reexecs: int
    shutdown: HostShutdown | None


class Report(TypedDict):
    """What became of a command for one service."""

    name: str
    result: str
    message: str


class Event(TypedDict):
    """One change of a service as it happens."""

    event: str
    at: float
    service: Service


class ShortService(TypedDict):
    """What a change says of its service; `exit` is its last one, None if none is known."""

    name: str
    state: str
    pid: int | None
    reason: Reason | None
    exit: Exit | None


class ShortEvent(TypedDict):
    """One change of a service as `--json` prints it."""

    event: str
    at: float
    service: ShortService


class Others(TypedDict):
    """How many processes live beside a service that its stop leaves alone."""

    name: str
    count: int


class Process(TypedDict):
    """One process of a service."""

    pid: int
    command: str
    memory_bytes: int
    cpu_seconds: float
