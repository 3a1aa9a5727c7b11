"""What a process was made from, as far as anybody asks while it lives.

A successor of a virtsupd that died finds processes whose definitions it no longer has. A fingerprint
tells whether the one in force would make another process; the few facts beside it are those that
the rest of such a run depends on.
"""

from dataclasses import MISSING, field, fields, is_dataclass
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from virtsupd.core.domain import DomainSpec
from virtsupd.core.frozen import frozen
from virtsupd.core.machine import MachineSpec
from virtsupd.core.spec import LogSpec, PidFileProbe, Probe, ProcessSpec, ServiceSpec, Stop

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LOST = ProcessSpec(("unknown",), LogSpec(""))
"""Of what an earlier virtsupd started and no configuration has told us of."""
_DIGEST_BYTES = 12


@frozen
class Made:
    """The definition of a process, in short."""

    fingerprint: str
    """Equal for definitions that make equal processes, also in another version of virtsupd."""
    probe: str = ""
    """The configuration's word for its readiness probe; "" for none."""
    is_stage: bool = False
    """Nothing was made: a target or a condition."""
    forks: bool = False
    one_shot: bool = False
    is_timer: bool = False
    """Its processes are jobs; between them it has none."""
    has_sockets: bool = False
    is_guest: bool = False
    guard: str = ""
    """As of the definition (`ServiceSpec.guard`)."""
    machine: MachineSpec | None = None
    """It is QEMU, whose exit code says nothing of why it ended, with these sockets."""
    domain: DomainSpec | None = None
    """What was started, if it is no process of ours but a guest of libvirt's."""
    stop: Stop = field(default_factory=Stop)
    """How it is ended if its definition is gone."""
    reread: tuple[str, ...] = ()
    """Digests of what it read last of what a reload makes it read again (`Reload.files`)."""


def made_from(spec: ServiceSpec) -> Made:
    """Return what stays known of a definition once a process was made from it."""
    probe = spec.ready.probe
    return Made(
        fingerprint=fingerprint(spec),
        probe=probe_name(probe) if probe is not None else "",
        is_stage=spec.is_stage,
        forks=isinstance(probe, PidFileProbe),
        one_shot=spec.one_shot,
        is_timer=spec.timer is not None,
        has_sockets=spec.process is not None and bool(spec.process.sockets),
        is_guest=spec.is_guest,
        guard=spec.guard,
        machine=spec.process.machine if spec.process is not None else None,
        domain=spec.domain,
        stop=spec.stop,
        reread=spec.reload.files if spec.reload is not None else (),
    )


def fingerprint(spec: ServiceSpec) -> str:
    """Return what names all that makes the process, and the probe it has to satisfy.

    Fields at their defaults do not count, so that a version that adds one finds its predecessor's
    processes unchanged.
    """
    text = f"{_words(spec.domain or spec.process)} {_words(spec.ready.probe)}"
    if spec.timer is not None:
        text += " timer"
    return blake2b(text.encode(errors="surrogateescape"), digest_size=_DIGEST_BYTES).hexdigest()


def probe_name(probe: Probe) -> str:
    """Return the configuration's word for a probe: "notify", "pid-file"."""
    words = type(probe).__name__.removesuffix("Probe")
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in words).lstrip("-")


def _words(value: object) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        inner = (
            f"{name}={_words(found)}"
            for name, default in _defaults(type(value))
            if (found := getattr(value, name)) != default
        )
        return f"{type(value).__name__}({', '.join(inner)})"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_words, value))}]"
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(repr, value)))}}}"
    return repr(value)


@cache
def _defaults(kind: "type[DataclassInstance]") -> tuple[tuple[str, object], ...]:
    return tuple(
        (f.name, f.default_factory() if f.default_factory is not MISSING else f.default)
        for f in fields(kind)
    )
