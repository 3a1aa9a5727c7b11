"""What is known of a process whose definition is gone, and when another one would be made."""

from dataclasses import replace

import pytest
from tests.support.pure_host import NOTIFY, process, service, target

from virtsupd.core.made import Made, fingerprint, made_from, probe_name
from virtsupd.core.names import Name
from virtsupd.core.spec import (
    ExitProbe,
    FdProbe,
    HttpProbe,
    LogLineProbe,
    LogSpec,
    NotifyProbe,
    PidFileProbe,
    Probe,
    ProcessSpec,
    Readiness,
    Reload,
    Respawn,
    ServiceSpec,
    SocketSpec,
    Stop,
)

DB = service("db")
FINGERPRINT = "02ec42a53ecd598cbf848481"


@pytest.mark.parametrize(
    "change",
    [
        replace(DB, process=process("db", "-v")),
        replace(DB, process=replace(process("db"), user="db")),
        replace(DB, process=replace(process("db"), umask=0o077)),
        replace(DB, process=replace(process("db"), environment=(("A", "1"),))),
        replace(DB, process=replace(process("db"), log=LogSpec("/var/log/db.log"))),
        replace(DB, process=replace(process("db"), sockets=(SocketSpec("a", "/run/a"),))),
        replace(DB, process=replace(process("db"), secret_environment=frozenset({"A"}))),
        replace(DB, process=replace(process("db"), files=("digest",))),
        replace(DB, ready=NOTIFY),
        replace(DB, process=None),
    ],
)
def test_what_makes_another_process_has_another_fingerprint(change: ServiceSpec) -> None:
    assert fingerprint(change) != fingerprint(DB)


@pytest.mark.parametrize(
    "change",
    [
        replace(DB, name=Name("database"), provides=(Name("database"),)),
        replace(DB, requires=(Name("net"),), stop=Stop("SIGINT"), respawn=Respawn(limit=1)),
        replace(DB, ready=Readiness(timeout_seconds=7), description="of customers"),
        replace(DB, reload=Reload("SIGHUP", files=("digest",))),
    ],
)
def test_names_edges_and_policies_leave_the_fingerprint_as_it_is(change: ServiceSpec) -> None:
    assert fingerprint(change) == fingerprint(DB)


def test_a_fingerprint_is_the_same_in_every_virtsupd() -> None:
    """Adding a field with a default to a definition must not change it, nor may a new Python."""
    assert fingerprint(DB) == FINGERPRINT
    secrets = frozenset({"B", "A", "C"})
    first = replace(DB, process=replace(process("db"), secret_environment=secrets))
    other = replace(DB, process=replace(process("db"), secret_environment=frozenset("CBA")))
    assert fingerprint(first) == fingerprint(other)


def test_words_that_are_no_text_have_a_fingerprint() -> None:
    odd = replace(DB, process=ProcessSpec(("run", "\udcff"), LogSpec("")))
    assert fingerprint(odd) != fingerprint(DB)


@pytest.mark.parametrize(
    ("probe", "word"),
    [
        (NotifyProbe(), "notify"),
        (PidFileProbe("/run/db.pid"), "pid-file"),
        (LogLineProbe("up"), "log-line"),
        (HttpProbe("http://localhost"), "http"),
        (FdProbe(), "fd"),
        (ExitProbe(), "exit"),
    ],
)
def test_a_probe_is_called_as_in_the_configuration(probe: Probe, word: str) -> None:
    assert probe_name(probe) == word
    assert made_from(replace(DB, ready=Readiness(probe))).probe == word


def test_what_the_rest_of_a_run_depends_on_is_known() -> None:
    plain = made_from(DB)
    assert plain == Made(plain.fingerprint)
    sockets = replace(process("db"), sockets=(SocketSpec("a", "/run/a"),))
    full = made_from(
        replace(
            DB,
            process=sockets,
            ready=Readiness(PidFileProbe("/run/db.pid")),
            one_shot=True,
            is_guest=True,
            stop=Stop("SIGINT"),
        )
    )
    assert full.forks
    assert full.one_shot
    assert full.has_sockets
    assert full.is_guest
    assert full.stop == Stop("SIGINT")
    assert made_from(target("net")).is_stage
    assert not made_from(target("net")).has_sockets
