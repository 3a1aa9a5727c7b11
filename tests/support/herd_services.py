"""Hand-made services as herd's codec is given them, one for each thing a record can say."""

from dataclasses import replace

from virtsupd.control.backend import DaemonFacts
from virtsupd.core.exits import ExitStatus
from virtsupd.core.names import Name
from virtsupd.core.snapshot import ExitRecord, Reason, ReasonKind, ServiceSnapshot, State
from virtsupd.core.spec import ActionSpec, LogSpec, ProcessSpec, Reload, Respawn, ServiceSpec

SINCE = 1_795_360_774.75
"""A moment with a fraction, since records have none."""

FACTS = DaemonFacts(
    pid=812,
    version="0.1.0",
    since=SINCE,
    config="/etc/virtsupd/host.toml",
    socket="/run/virtsupd/control",
    phase="running",
    warnings=("no cgroups: read-only",),
)


def process(*command: str) -> ProcessSpec:
    """Return a process that logs to /log/NAME.log."""
    return ProcessSpec(
        command=command,
        log=LogSpec(file=f"/log/{command[0]}.log"),
        environment=(("PASSWORD", "hunter2"),),
        secret_environment=frozenset({"PASSWORD"}),
    )


def snapshot(spec: ServiceSpec, state: State = State.RUNNING, **facts: object) -> ServiceSnapshot:
    """Return the service in a state it entered at SINCE, wanted as that says."""
    basic = ServiceSnapshot(
        spec=spec,
        state=state,
        wanted=state in (State.RUNNING, State.STARTING),
        wanted_by="boot",
        wanted_since=SINCE,
        enabled=True,
        since=SINCE,
        changes=((state, SINCE),),
    )
    return replace(basic, **facts)  # type: ignore[arg-type]  # the tests' own keywords


def spec(name: str, *aliases: str, **facts: object) -> ServiceSpec:
    """Return a definition; `facts` are its other fields."""
    names = tuple(map(Name, (name, *aliases)))
    return ServiceSpec(name=names[0], provides=names, **facts)  # type: ignore[arg-type]  # as above


SLEEPER = snapshot(
    spec(
        "sleeper",
        "slumber",
        description="Sleep for a long time.",
        process=process("sleep", "1000"),
        respawn=Respawn(delay_seconds=0.1, limit=5, window_seconds=7.0),
        reload=Reload(signal="SIGHUP"),
        actions=(ActionSpec("poke", "Poke the service with words."),),
    ),
    pid=20195,
    changes=((State.RUNNING, SINCE), (State.STARTING, SINCE - 1)),
    exits=(
        ExitRecord(ExitStatus(code=3), SINCE - 2),
        ExitRecord(ExitStatus(signal=9), SINCE - 3),
        ExitRecord(ExitStatus(), SINCE - 4),
    ),
    respawns=(SINCE - 2, SINCE - 3),
    status_text="snoring",
    restarts=2,
)
DEPENDENT = snapshot(
    spec("dependent", requires=("slumber",), process=process("true"), respawn=None),
    State.STOPPED,
    reason=Reason(ReasonKind.STOPPED_BY_OPERATOR, "root stopped it"),
)
BAD = snapshot(
    spec("bad", binds_to=("sleeper",), process=process("false")),
    State.STOPPED,
    reason=Reason(ReasonKind.FAILED, "exited with code 1, five times in 30 s"),
)
ONCE = snapshot(spec("once", one_shot=True, process=process("make", "it")))
STARTING = snapshot(spec("starting", process=process("slow")), State.STARTING, pid=17)
STOPPING = snapshot(
    spec("stopping", process=process("stubborn"), transient=True), State.STOPPING, pid=18
)
TARGET = snapshot(spec("user-processes"))
BACKING_OFF = snapshot(
    spec("crashing", process=process("crash")),
    State.STOPPED,
    wanted=True,
    enabled=False,
    reason=Reason(
        ReasonKind.BACKING_OFF, "again in 3 s", retry_at=SINCE + 3, names=(Name("sleeper"),)
    ),
    start_failures=(SINCE, SINCE - 9),
)
SNAPSHOTS = (BACKING_OFF, BAD, DEPENDENT, ONCE, SLEEPER, STARTING, STOPPING, TARGET)
