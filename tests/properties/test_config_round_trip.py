"""What `cat` shows, read as a unit file, makes the same definition again."""

import math
import tomllib
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from virtsupd.config.build import build_service, service_problems
from virtsupd.config.model import ServiceTable
from virtsupd.config.settings import HostSettings
from virtsupd.config.show import definition_text
from virtsupd.config.values import duration, size
from virtsupd.core import spec
from virtsupd.core.domain import DomainSpec, GuestStop
from virtsupd.core.names import Name

HOST = HostSettings()

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
words = st.text(st.sampled_from("abcXYZ09_-"), min_size=1, max_size=8).filter(
    lambda word: not word.startswith("-")
)
names = words.map(Name)
name_lists = st.lists(names, max_size=3, unique=True).map(tuple)
paths = words.map(lambda word: f"/run/{word}")
seconds = st.integers(0, 10**6).map(lambda number: number / 1000)
positive = st.integers(1, 10**6).map(lambda number: number / 1000)
ports = st.integers(1, 65535)
commands = st.tuples(texts.filter(bool), texts)
modes = st.integers(0, 0o777)

stage_probes = st.one_of(
    st.builds(spec.TcpProbe, port=ports, host=st.sampled_from(["127.0.0.1", "::1", "db"])),
    st.builds(spec.BannerProbe, expect=words, port=ports, send=st.none() | texts),
    st.builds(spec.BannerProbe, expect=words, path=paths),
    st.builds(spec.HttpProbe, url=st.just("http://localhost:80/x?y=1")),
    st.builds(spec.MountProbe, path=paths, file_system=st.none() | words),
    st.builds(spec.PathProbe, path=paths),
    st.builds(spec.HostProbe, check=st.sampled_from(spec.HostCheck)),
)
probes = st.one_of(
    stage_probes,
    st.builds(spec.NotifyProbe),
    st.builds(spec.FdProbe, fd=st.none() | st.integers(5, 255), variable=st.none() | st.just("FD")),
    st.builds(spec.PidFileProbe, path=paths),
    st.builds(spec.SocketProbe, path=paths),
    st.builds(spec.ListenProbe, on=st.just(("tcp:1", "/run/x")), pid_file=st.none() | paths),
    st.builds(spec.ExecProbe, command=commands),
    st.builds(spec.LogLineProbe, pattern=words),
)
healths = st.builds(
    spec.Health, stage_probes, positive, positive, st.integers(1, 9), st.just("degrade")
) | st.builds(spec.Health, st.just(spec.NotifyProbe()), positive)
respawns = st.builds(
    lambda delay, extra, factor, limit, window, only_failures: spec.Respawn(
        delay, factor, delay + extra, limit, window, only_failures
    ),
    seconds,
    seconds,
    st.integers(1, 9).map(float),
    st.integers(0, 99),
    positive,
    st.booleans(),
)
limits = st.one_of(
    st.builds(lambda n: spec.Limit("nofile", n, n), st.none() | st.integers(0, 2**40)),
    st.builds(lambda a, b: spec.Limit("core", a, a + b), *[st.integers(0, 2**40)] * 2),
    st.builds(lambda a: spec.Limit("data", a, None), st.integers(0, 2**40)),
)
sockets = st.one_of(
    st.builds(
        spec.SocketSpec,
        name=words,
        listen=st.just("/run/x"),
        type=st.sampled_from(["stream", "datagram", "seqpacket"]),
        mode=modes,
        owner=st.none() | words,
        backlog=st.integers(1, 65535),
    ),
    st.builds(
        spec.SocketSpec,
        name=words,
        listen=st.sampled_from(["@x", "127.0.0.1:80", "[::1]:80", "81", "db.local:9"]),
        type=st.sampled_from(["stream", "datagram"]),
        backlog=st.integers(1, 65535),
    ),
)
logs = st.one_of(
    st.just(spec.LogSpec(file="")),
    st.builds(
        spec.LogSpec,
        file=paths,
        max_size_bytes=st.integers(0, 2**40),
        max_age_seconds=seconds,
        keep=st.integers(0, 99),
        compress=st.sampled_from(["zstd", "none"]),
        on_full=st.sampled_from(["drop", "block"]),
        mode=modes,
    ),
)
processes = st.builds(
    spec.ProcessSpec,
    command=commands,
    log=logs,
    user=st.none() | words,
    supplementary_groups=st.none() | st.lists(words, max_size=2).map(tuple),
    directory=paths,
    umask=modes,
    environment=st.dictionaries(st.sampled_from(["A", "LANG", "z"]), texts).map(
        lambda table: tuple(sorted(table.items()))
    ),
    environment_files=st.lists(paths | paths.map(lambda path: f"-{path}"), max_size=2).map(tuple),
    limits=limits.map(lambda limit: (limit,)),
    capabilities=st.none() | st.just(("CAP_NET_ADMIN",)),
    no_new_privileges=st.booleans(),
    oom_score_adjust=st.none() | st.integers(-1000, 1000),
    nice=st.none() | st.integers(-20, 19),
    sockets=st.lists(sockets, max_size=2).map(tuple),
)
actions = st.builds(spec.ActionSpec, st.just("verify"), texts, commands, positive)
timers = st.builds(
    spec.TimerSpec,
    expressions=st.lists(st.sampled_from(["daily", "Mon 02:30 UTC"]), min_size=1).map(tuple),
    kind=st.just("calendar"),
    timezone=st.none() | st.just("UTC"),
    catch_up_seconds=st.sampled_from([math.inf, 0.0, 90.0]),
    timeout_seconds=seconds,
) | st.builds(spec.TimerSpec, st.just(("@hourly", "*/5 * * * 1-5")), st.just("cron"))


@st.composite
def jobs(draw: st.DrawFn) -> spec.ServiceSpec:
    """Draw what a timer runs."""
    name = draw(names)
    timer = draw(timers)
    return spec.ServiceSpec(
        name, (name,), process=draw(processes), respawn=None, timer=timer, source="unit"
    )


@st.composite
def services(draw: st.DrawFn) -> spec.ServiceSpec:
    one_shot = draw(st.booleans())
    provides = draw(st.lists(names, min_size=1, max_size=3, unique=True).map(tuple))
    process = draw(processes)
    ready = spec.Readiness(draw(st.none() | probes), draw(seconds))
    if isinstance(ready.probe, spec.LogLineProbe) and not process.log.file:
        ready = spec.Readiness()
    return spec.ServiceSpec(
        name=provides[0],
        provides=provides,
        description=draw(texts),
        source="unit",
        requires=draw(name_lists),
        wants=draw(name_lists),
        before=draw(name_lists),
        process=process,
        ready=spec.Readiness(spec.ExitProbe()) if one_shot else ready,
        health=None if one_shot else draw(st.none() | healths),
        respawn=draw(st.none() | respawns),
        stop=draw(
            st.builds(
                spec.Stop,
                st.sampled_from(["SIGTERM", "SIGINT"]),
                seconds,
                st.sampled_from(spec.StopMode),
            )
        ),
        reload=draw(
            st.none() | st.builds(spec.Reload, st.just("SIGHUP"), timeout_seconds=positive)
        ),
        prepare=draw(st.none() | st.builds(spec.Prepare, st.just(("before",)), positive)),
        clean_up=draw(st.none() | st.builds(spec.CleanUp, st.just(("away",)), positive)),
        one_shot=one_shot,
        transient=draw(st.booleans()),
        autostart=draw(st.booleans()),
        is_guest=draw(st.booleans()),
        success_exit=frozenset({0, draw(st.integers(0, 99))}),
        not_needed_exit=draw(st.frozensets(st.integers(100, 255), max_size=2)),
        actions=draw(st.lists(actions, max_size=1).map(tuple)),
    )


domain_probes = st.one_of(
    st.builds(spec.AgentProbe),
    st.builds(spec.TcpProbe, port=ports, host=st.just("192.0.2.7")),
    st.builds(spec.BannerProbe, expect=words, port=ports),
    st.builds(spec.HttpProbe, url=st.just("http://192.0.2.7/")),
)


@st.composite
def guests(draw: st.DrawFn) -> spec.ServiceSpec:
    name, how = draw(names), draw(st.sampled_from(GuestStop))
    on_failure = st.just("degrade" if how is GuestStop.LEAVE else "restart")
    healths_of_guests = st.builds(
        spec.Health, domain_probes, positive, positive, on_failure=on_failure
    )
    return spec.ServiceSpec(
        name,
        (name,),
        source="unit",
        requires=draw(name_lists),
        domain=DomainSpec(draw(words)),
        ready=spec.Readiness(draw(st.none() | domain_probes), draw(seconds)),
        health=draw(st.none() | healths_of_guests),
        respawn=draw(st.none() | respawns.filter(lambda respawn: respawn.delay_seconds >= 1)),
        stop=spec.Stop(delay_seconds=draw(seconds), how=how),
        autostart=draw(st.booleans()),
        is_guest=True,
        actions=draw(st.lists(actions, max_size=1).map(tuple)),
    )


@settings(deadline=None)  # other tests share the processor
@given(
    services()
    | guests()
    | jobs().filter(lambda job: job.process is not None and not job.process.sockets)
)
def test_a_shown_definition_makes_the_same_service(service: spec.ServiceSpec) -> None:
    table = ServiceTable.model_validate(tomllib.loads(definition_text(service, ["/etc/unit.toml"])))
    assert not list(service_problems(table))
    assert build_service(service.name, table, HOST, "unit") == service


@settings(deadline=None)  # likewise
@given(stage_probes, seconds, st.none() | respawns)
def test_a_shown_condition_makes_the_same_condition(
    probe: spec.Probe, timeout: float, respawn: spec.Respawn | None
) -> None:
    name = Name("condition")
    if respawn is not None:
        respawn = replace(respawn, only_failures=False)
    ready = spec.Readiness(probe, timeout)
    condition = spec.ServiceSpec(name, (name,), ready=ready, respawn=respawn)
    table = ServiceTable.model_validate(tomllib.loads(definition_text(condition, [])))
    assert not list(service_problems(table))
    assert build_service(name, table, HOST, "") == condition


@given(st.integers(0, 10**7), st.sampled_from([("ms", 0.001), ("s", 1), ("min", 60), ("h", 3600)]))
def test_durations_count_in_their_unit(number: int, unit: tuple[str, float]) -> None:
    assert duration(f"{number}{unit[0]}") == float(number) * unit[1]


@given(
    st.integers(0, 10**6), st.sampled_from(["", "K", "M", "G"]), st.sampled_from(["", "B", "iB"])
)
def test_sizes_are_powers_of_1024(number: int, prefix: str, suffix: str) -> None:
    if suffix == "iB" and not prefix:
        suffix = ""
    assert size(f"{number}{prefix}{suffix}") == number * 1024 ** " KMG".index(prefix or " ")


def test_secrets_are_not_shown() -> None:
    table = ServiceTable.model_validate(
        {"command": ["x"], "environment": {"API_TOKEN": "hush", "LANG": "C"}}
    )
    shown = definition_text(build_service(Name("x"), table, HOST, str(Path("/x"))), [])
    assert "hush" not in shown
    assert 'LANG = "C"' in shown
    assert 'API_TOKEN = "(hidden)"' in shown
