"""What goes with `domain`, which makes a service of a guest that libvirt runs, and what does not."""

from collections.abc import Iterator
from typing import Final

from virtsupd.config.model import DomainTable, RespawnTable, ServiceTable, StopTable
from virtsupd.config.probes import ProbeTable
from virtsupd.config.problems import Fault
from virtsupd.core.domain import DomainSpec
from virtsupd.core.spec import Respawn

READY_SECONDS: Final = 300.0
"""How long a guest has to become ready unless its file says it."""
DEFAULT_RESPAWN: Final = Respawn(delay_seconds=1.0, window_seconds=300.0, only_failures=True)
"""How a guest that crashed is started again unless its file says it.

In a shorter window a guest that boots for a while before it crashes would never reach the limit.
"""

_LEAST_DELAY_SECONDS: Final = 1.0
_MEANT_KEYS = """
description provides requires wants after before conflicts part_of domain ready health respawn stop autostart
actions
"""
_MEANT = frozenset(_MEANT_KEYS.split())
_NO_EXIT_CODE = "a guest ends with a reason, not with an exit code"
_WHY_NOT = {
    "command": "a service is a process or a guest of libvirt; call one of them otherwise",
    "binds_to": "a guest never falls with something else; requires starts it when that is ready",
    "guest": "a domain is a guest by itself",
    "log": "virtlogd keeps what a guest writes to its console",
    "timer": "a guest is no job that ends",
    "one_shot": "a guest is not done when it has ended",
    "transient": "a guest stays, as its definition in libvirt does",
    "prepare": "libvirt has hooks of its own for what comes before a guest",
    "clean_up": "libvirt takes away what it made for a guest",
    "reload": "a guest takes over what changed at its next start",
    "success_exit": _NO_EXIT_CODE,
    "not_needed_exit": _NO_EXIT_CODE,
}
_LIBVIRT_MAKES_IT = "libvirt starts the guest, as its definition there says (virsh edit)"
_OF_GUESTS = "is for guests of libvirt, which have the key domain"


def domain_faults(table: ServiceTable) -> Iterator[Fault]:
    """Yield what a guest cannot have, or what only a guest can."""
    if table.domain is None:
        yield from _faults_of_others(table)
        return
    for key in sorted(table.model_fields_set - _MEANT):
        yield (key,), f"does not go with domain: {_WHY_NOT.get(key, _LIBVIRT_MAKES_IT)}"
    for key, probe in _probes(table):
        if not probe.for_domain:
            text = "cannot be asked of a guest; for guests there are agent, tcp, banner and http"
            yield (key,), f"{_kind(probe)} {text}"
    if table.respawn is not None:
        yield from _respawn_faults(table.respawn)
    if table.stop is not None:
        yield from _stop_faults(table.stop)
        yield from _restart_faults(table, table.stop)


def domain_spec(table: DomainTable) -> DomainSpec:
    """Return what runs in place of a process."""
    return DomainSpec(table.name, table.uri)


def _faults_of_others(table: ServiceTable) -> Iterator[Fault]:
    for key, probe in _probes(table):
        if not probe.for_process:
            yield (key,), f"{_kind(probe)} {_OF_GUESTS}"
    if table.stop is not None and table.stop.how is not None:
        yield ("stop", "how"), _OF_GUESTS
    is_condition = table.command is None and table.ready is not None
    if is_condition and table.respawn is not None and table.respawn.on is not None:
        yield ("respawn", "on"), "means nothing without command: there is no process that ends"


def _probes(table: ServiceTable) -> Iterator[tuple[str, ProbeTable]]:
    if table.ready is not None:
        yield "ready", table.ready.probe
    if table.health is not None:
        yield "health", table.health.probe


def _kind(probe: ProbeTable) -> str:
    return str(getattr(probe, "kind", "this"))


def _respawn_faults(respawn: RespawnTable) -> Iterator[Fault]:
    if "delay" in respawn.model_fields_set and respawn.delay < _LEAST_DELAY_SECONDS:
        text = f"found {respawn.delay:g} seconds, must be at least 1 second for a guest of libvirt"
        yield ("respawn", "delay"), text


def _stop_faults(stop: StopTable) -> Iterator[Fault]:
    for key in sorted({"signal", "mode"} & stop.model_fields_set):
        yield ("stop", key), "means nothing for a guest of libvirt, which how says how to end"


def _restart_faults(table: ServiceTable, stop: StopTable) -> Iterator[Fault]:
    is_restarted = table.health is not None and table.health.on_failure == "restart"
    if is_restarted and stop.how == "leave":
        text = "found 'restart', which cannot end a guest with stop.how = 'leave'; use 'degrade'"
        yield ("health", "on_failure"), text
