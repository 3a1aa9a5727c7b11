"""Commands as probes, with a runner that is a double; connections: tests/process."""

import pytest

from virtsupd.core.events import Instant
from virtsupd.core.exits import ExitStatus
from virtsupd.core.names import Name
from virtsupd.core.spec import AgentProbe, ExecProbe
from virtsupd.errors import NotReadyError, NoVerdictError, SpawnError
from virtsupd.process.attempts import attempt, retry
from virtsupd.process.domains import DomainError, Kind
from virtsupd.process.network import ImpossibleProbeError
from virtsupd.process.probe_context import ProbeContext

PROBE = ExecProbe(("virsh", "version"))


class PatientClock:
    """A clock on which all pauses pass at once and are written down."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def now(self) -> Instant:
        return Instant(0.0, 0.0)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


class Ended:
    """What became of a command."""

    def __init__(
        self, code: int | None = 0, *, output: bytes = b"", timed_out: bool = False
    ) -> None:
        self.status = ExitStatus(code=code) if code is not None else ExitStatus(signal=9)
        self.output = output
        self.timed_out = timed_out


class Runner:
    """Gives one outcome after the other, or raises it."""

    def __init__(self, *outcomes: Ended | SpawnError) -> None:
        self._outcomes = iter(outcomes)

    async def __call__(self, command: tuple[str, ...], timeout_seconds: float) -> Ended:
        outcome = next(self._outcomes)
        if isinstance(outcome, SpawnError):
            raise outcome
        return outcome


def context(*outcomes: Ended | SpawnError, clock: PatientClock | None = None) -> ProbeContext:
    return ProbeContext(
        name=Name("web"), clock=clock or PatientClock(), run=Runner(*outcomes), command_seconds=7.0
    )


@pytest.mark.parametrize(
    ("outcome", "seen"),
    [
        (Ended(3, output=b"no hypervisor\n"), "virsh exited with code 3: no hypervisor"),
        (Ended(None), "virsh ended by SIGKILL"),
        (Ended(None, timed_out=True), "virsh took more than 7 s"),
        (SpawnError("fork", "no memory", is_permanent=False), "cannot run virsh: no memory"),
    ],
)
async def test_what_a_command_did_instead_is_said(outcome: Ended | SpawnError, seen: str) -> None:
    with pytest.raises(NotReadyError) as caught:
        await attempt(PROBE, context(outcome))
    assert str(caught.value) == seen
    assert not isinstance(caught.value, ImpossibleProbeError)


async def test_pauses_between_commands_grow_to_two_seconds() -> None:
    clock = PatientClock()
    await retry(PROBE, context(*[Ended(1)] * 7, Ended(0), clock=clock))
    assert clock.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


async def test_an_agent_that_libvirt_cannot_ask_is_no_verdict() -> None:
    kinds: list[Kind] = ["unreachable", "refused"]

    async def ask(_: float) -> None:
        raise DomainError(kinds.pop(0), "no answer")

    context = ProbeContext(name=Name("web"), clock=PatientClock(), agent=ask)
    with pytest.raises(NoVerdictError, match="no answer"):
        await attempt(AgentProbe(), context)
    with pytest.raises(NotReadyError, match="no answer") as caught:
        await attempt(AgentProbe(), context)
    assert not isinstance(caught.value, NoVerdictError)


async def test_pauses_between_questions_to_an_agent_grow_to_five_seconds() -> None:
    clock, missing = PatientClock(), ["not connected"] * 5

    async def ask(_seconds: float) -> None:
        if missing:
            raise DomainError("refused", missing.pop())

    await retry(AgentProbe(), ProbeContext(name=Name("web"), clock=clock, agent=ask))
    assert clock.pauses == [1.0, 2.0, 4.0, 5.0, 5.0]


async def test_a_missing_program_is_not_tried_again() -> None:
    with pytest.raises(ImpossibleProbeError, match="cannot run virsh: no such program"):
        await retry(PROBE, context(SpawnError("program", "no such program", is_permanent=True)))


async def test_without_a_runner_no_command_can_succeed() -> None:
    with pytest.raises(ImpossibleProbeError):
        await retry(PROBE, ProbeContext(name=Name("web"), clock=PatientClock()))
