"""Random configurations and what their processes do, each a function of a number."""

from dataclasses import replace
from functools import lru_cache
from random import Random

from tests.simulation.world import Behaviour

from virtsupd.core.graph import GraphError, ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.spec import (
    CleanUp,
    ExecProbe,
    ExitProbe,
    Health,
    HostCheck,
    HostProbe,
    LogSpec,
    NotifyProbe,
    PathProbe,
    PidFileProbe,
    Prepare,
    ProcessSpec,
    Readiness,
    Reload,
    Respawn,
    ServiceSpec,
    Stop,
    StopMode,
    TcpProbe,
)

NAMES = tuple(Name(letter) for letter in "abcdefgh")
NOT_NEEDED = 77
# Whatever keeps dying comes to its limit: no pause is so long that the window never holds so many.
_RESPAWNS = (
    None,
    Respawn(delay_seconds=0.0, limit=2),
    Respawn(delay_seconds=0.1, limit=3, max_delay_seconds=2.0),
    Respawn(delay_seconds=1.0, limit=3, max_delay_seconds=2.0),
)
_MODES = (StopMode.CGROUP, StopMode.CGROUP, StopMode.GROUP, StopMode.PROCESS)


@lru_cache(maxsize=2000)
def graph_of(number: int) -> ServiceGraph:
    """Return a sound graph of up to eight services."""
    random = Random(number)
    count = random.randint(1, len(NAMES))
    names = NAMES[:count] if random.random() < 0.7 else sorted(random.sample(NAMES, count))
    specs = [_spec(random, name, names[:index]) for index, name in enumerate(names)]
    specs = _cleaned(Random(f"{number} clean-up"), specs)
    specs = _prepared(Random(f"{number} preparation"), specs)
    specs = _lasting(Random(f"{number} conditions"), specs)
    try:
        return ServiceGraph.build(specs)
    except GraphError:
        plain = (replace(spec, conflicts=(), transient=False) for spec in specs)
        return ServiceGraph.build(plain)


def _spec(random: Random, name: Name, earlier: "list[Name] | tuple[Name, ...]") -> ServiceSpec:
    def ends(likely: float) -> tuple[Name, ...]:
        if not earlier or random.random() > likely:
            return ()
        return tuple(random.sample(earlier, min(len(earlier), random.randint(1, 2))))

    kind = random.random()
    spec = ServiceSpec(
        name=name,
        provides=(name,),
        requires=ends(0.4),
        binds_to=ends(0.2),
        wants=ends(0.2),
        after=ends(0.2),
        conflicts=ends(0.08),
        process=ProcessSpec(("run", name, str(random.randint(1, 3))), LogSpec("")),
        ready=_readiness(random),
        health=_health(random),
        respawn=random.choice(_RESPAWNS),
        stop=Stop(delay_seconds=random.choice((0.5, 2.0)), mode=random.choice(_MODES)),
        reload=random.choice((None, Reload("SIGHUP"), Reload(command=("again",)))),
        autostart=random.random() < 0.7,
        is_guest=random.random() < 0.15,
        transient=random.random() < 0.04,
        not_needed_exit=frozenset({NOT_NEEDED}),
    )
    if kind < 0.08:
        probe = HostProbe(HostCheck.NETWORKING) if random.random() < 0.5 else None
        return replace(spec, process=None, ready=Readiness(probe, 2.0), health=None, is_guest=False)
    if kind < 0.2:
        return replace(spec, one_shot=True, ready=Readiness(ExitProbe(), 20.0), health=None)
    return spec


def _cleaned(random: Random, specs: list[ServiceSpec]) -> list[ServiceSpec]:
    """Let some leave something behind: drawn apart, so that what once failed is what it was."""
    likely = random.choice((0.0, 0.5))
    return [
        replace(spec, clean_up=CleanUp(("away",)))
        if spec.process is not None and random.random() < likely
        else spec
        for spec in specs
    ]


def _prepared(random: Random, specs: list[ServiceSpec]) -> list[ServiceSpec]:
    """Let something be run before some: drawn last, for the same reason."""
    likely = random.choice((0.0, 0.3))
    return [
        replace(spec, prepare=Prepare(("before",)))
        if spec.process is not None and random.random() < likely
        else spec
        for spec in specs
    ]


def _lasting(random: Random, specs: list[ServiceSpec]) -> list[ServiceSpec]:
    """Let most conditions be of a kind that may cease to hold."""
    return [
        replace(spec, ready=replace(spec.ready, probe=PathProbe("/there")))
        if isinstance(spec.ready.probe, HostProbe) and random.random() < 0.7
        else spec
        for spec in specs
    ]


def _readiness(random: Random) -> Readiness:
    probe = random.choice(
        (None, None, NotifyProbe(), NotifyProbe(), TcpProbe(80), PidFileProbe("p"))
    )
    return Readiness(probe, random.choice((1.0, 5.0)))


def _health(random: Random) -> Health | None:
    if random.random() < 0.5:
        return None
    return Health(ExecProbe(("check",)), on_failure=random.choice(("restart", "degrade")))


@lru_cache(maxsize=20000)
def behaviour_of(number: int) -> Behaviour:
    """Return what the processes of a service do."""
    random = Random(number)
    if random.random() < 0.5:
        return Behaviour(ready_after=random.choice((0.0, 0.01, 0.3)))
    return Behaviour(
        ready_after=random.choice((0.0, 0.0, 0.01, 0.3, 0.9, 3.0, None)),
        loses_notify=random.random() < 0.1,
        lives=random.choice((None, None, None, 0.0, 0.02, 0.4, 3.0)),
        code=random.choice((0, 1, 1, NOT_NEEDED)),
        on_term=random.choice(("ends", "ends", "exits", "slow", "ignores")),
        workers=random.choice((0, 0, 1, 2)),
        worker_ignores=random.random() < 0.3,
        daemons=random.choice((0, 0, 1)),
        guests=random.choice((0, 0, 2)),
        spawn=random.choice(("works",) * 8 + ("fails", "never works")),
        reload_fails=random.random() < 0.3,
    )
