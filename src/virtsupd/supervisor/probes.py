"""The child tasks that watch a service: its readiness until it is ready, its health while it runs."""

import math
from collections.abc import Callable
from dataclasses import replace

import anyio
import anyio.lowlevel

from virtsupd.core.effects import AwaitReady, Spawn, WatchCondition, WatchHealth
from virtsupd.core.events import BecameReady, Fell, HealthChanged, NeverReady
from virtsupd.core.spec import Health, NotifyProbe
from virtsupd.errors import NotReadyError, NoVerdictError
from virtsupd.process.probe_context import ProbeContext
from virtsupd.process.readiness import check, wait_missing, wait_ready

Post = Callable[[BecameReady | NeverReady | Fell | HealthChanged], None]


async def watch_readiness(
    effect: Spawn | AwaitReady, context: ProbeContext, post: Post, scope: anyio.CancelScope
) -> None:
    """Post BecameReady, or NeverReady if that is certain; the engine keeps the deadline."""
    name, generation = effect.name, effect.generation
    with scope:
        # The run may be over before this task's first turn, and its descriptors closed.
        await anyio.lowlevel.checkpoint_if_cancelled()
        try:
            pid = await wait_ready(effect.ready.probe, context)
        except NotReadyError as error:
            post(NeverReady(name, generation, str(error)))
        else:
            post(BecameReady(name, generation, pid))


async def watch_condition(
    effect: WatchCondition, context: ProbeContext, post: Post, scope: anyio.CancelScope
) -> None:
    """Post Fell once a condition that held does not hold any more."""
    with scope:
        why = await wait_missing(effect.probe, context)
        post(Fell(effect.name, effect.generation, why))


async def watch_health(
    effect: WatchHealth, context: ProbeContext, post: Post, scope: anyio.CancelScope
) -> None:
    """Probe at the interval of the policy and post each change, until cancelled.

    An attempt without a verdict counts neither as a failure nor as a success.

    A watchdog is looked at when it is due: at its deadline, and then at each interval that the
    service lets pass.
    """
    health, failures, is_well = effect.health, 0, effect.is_well
    with scope:
        while True:
            await context.clock.sleep(_pause(health, context))
            try:
                why = await _attempt(health, context)
            except NoVerdictError:
                continue
            failures = failures + 1 if why is not None else 0
            if failures >= health.failures and is_well:
                post(HealthChanged(effect.name, effect.generation, why))
                is_well = False
            elif why is None and not is_well:
                post(HealthChanged(effect.name, effect.generation, None))
                is_well = True


def _pause(health: Health, context: ProbeContext) -> float:
    """Return the seconds until the next look."""
    watchdog = context.watchdog
    if watchdog is None or watchdog.deadline is None or not isinstance(health.probe, NotifyProbe):
        return health.interval_seconds
    remaining = watchdog.deadline - context.clock.now().monotonic
    return remaining if remaining > 0 else health.interval_seconds


async def _attempt(health: Health, context: ProbeContext) -> str | None:
    """Return what was wrong; None: healthy. The policy's time limit is the one of the attempt.

    Raises:
        NoVerdictError: the service could not be judged, before or at the end.
    """
    seconds = health.timeout_seconds
    context = replace(context, attempt_seconds=seconds or math.inf, command_seconds=seconds)
    why = None
    _demand_judgement(context)
    try:
        await check(health.probe, context)
    except NoVerdictError:
        raise
    except NotReadyError as error:
        why = str(error)
    _demand_judgement(context)
    return why


def _demand_judgement(context: ProbeContext) -> None:
    if not context.is_judged():
        raise NoVerdictError(f"nobody can tell now how {context.name} is")
