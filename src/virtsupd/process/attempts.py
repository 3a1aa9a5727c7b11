"""Probes that must be tried: connections and commands, once under a limit, or until they succeed."""

import anyio

from virtsupd.core.spec import AgentProbe, BannerProbe, ExecProbe, HttpProbe, ListenProbe, TcpProbe
from virtsupd.errors import NotReadyError, NoVerdictError, SpawnError
from virtsupd.process.domains import DomainError
from virtsupd.process.network import (
    ImpossibleProbeError,
    attempt_banner,
    attempt_http,
    attempt_tcp,
)
from virtsupd.process.own_listeners import demand_listeners
from virtsupd.process.probe_context import ProbeContext, only_news
from virtsupd.process.wakeups import Pause

Tried = TcpProbe | BannerProbe | HttpProbe | ExecProbe | AgentProbe | ListenProbe

_NETWORK_PAUSE_SECONDS = 0.01
_COMMAND_PAUSE_SECONDS = 0.1
_LONGEST_COMMAND_PAUSE_SECONDS = 2.0
_AGENT_PAUSE_SECONDS = 1.0
_LONGEST_AGENT_PAUSE_SECONDS = 5.0
"""Of each agent that does not answer libvirt logs an error, and QEMU's log of the guest may name it tainted."""
_OUTPUT_SHOWN = 200


async def retry(probe: Tried, context: ProbeContext) -> None:
    """Try until it succeeds, with growing pauses.

    10 ms to the context's interval; 0.1 to 2 s for commands; 1 to 5 s for guest agents.

    Raises:
        ImpossibleProbeError: no attempt can succeed.
    """
    pause, note = _pause(probe, context), only_news(context.note)
    while True:
        try:
            return await attempt(probe, context)
        except ImpossibleProbeError:
            raise
        except NotReadyError as error:
            note(str(error))
        await context.clock.sleep(pause.take())


def _pause(probe: Tried, context: ProbeContext) -> Pause:
    match probe:
        case ExecProbe():
            return Pause(_COMMAND_PAUSE_SECONDS, _LONGEST_COMMAND_PAUSE_SECONDS)
        case AgentProbe():
            return Pause(_AGENT_PAUSE_SECONDS, _LONGEST_AGENT_PAUSE_SECONDS)
        case _:
            return Pause(_NETWORK_PAUSE_SECONDS, context.interval_seconds)


async def attempt(probe: Tried, context: ProbeContext) -> None:
    """Try once.

    Raises:
        NotReadyError: it failed, or took longer than the context allows one attempt.
        NoVerdictError: libvirt could not be reached for it.
    """
    if isinstance(probe, ExecProbe):
        return await _attempt_command(probe, context)
    if isinstance(probe, AgentProbe):
        return await _attempt_agent(context)
    if isinstance(probe, ListenProbe):
        return demand_listeners(probe, context)
    try:
        with anyio.fail_after(context.attempt_seconds):
            await _attempt_connection(probe)
    except TimeoutError as error:
        raise NotReadyError(
            f"no answer within {context.attempt_seconds:g} s: {_target(probe)}"
        ) from error
    return None


async def _attempt_connection(probe: TcpProbe | BannerProbe | HttpProbe) -> None:
    match probe:
        case TcpProbe():
            await attempt_tcp(probe)
        case BannerProbe():
            await attempt_banner(probe)
        case HttpProbe():
            await attempt_http(probe)


def _target(probe: TcpProbe | BannerProbe | HttpProbe) -> str:
    match probe:
        case HttpProbe(url):
            return url
        case BannerProbe(path=str(path)):
            return path
        case _:
            return f"{probe.host} port {probe.port}"


async def _attempt_agent(context: ProbeContext) -> None:
    if context.agent is None:
        raise ImpossibleProbeError("there is no guest whose agent could answer")
    try:
        await context.agent(context.attempt_seconds)
    except DomainError as error:
        kind = NoVerdictError if error.kind == "unreachable" else NotReadyError
        raise kind(str(error)) from error


async def _attempt_command(probe: ExecProbe, context: ProbeContext) -> None:
    if context.run is None:
        raise ImpossibleProbeError("there is nothing that can run a command")
    program = probe.command[0]
    try:
        outcome = await context.run(probe.command, context.command_seconds)
    except SpawnError as error:
        kind = ImpossibleProbeError if error.is_permanent else NotReadyError
        raise kind(f"cannot run {program}: {error}") from error
    if outcome.timed_out:
        raise NotReadyError(f"{program} took more than {context.command_seconds:g} s")
    if outcome.status.code != 0:
        raise NotReadyError(f"{program} {outcome.status}{_last_words(outcome.output)}")


def _last_words(output: bytes) -> str:
    text = output.decode("utf-8", "replace").strip()
    return f": {text[-_OUTPUT_SHOWN:]}" if text else ""
