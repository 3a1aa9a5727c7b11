"""The readiness ladder of a machine: rung by rung, each with its time, and told while it is climbed.

A rung that counts has to be reached before the next one is tried; what does not count is tried
beside them, and goes on after the machine counts as running.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import anyio

from virtsupd.core.machine import Rung, RungSpec
from virtsupd.errors import NotReadyError
from virtsupd.machine.deadline import ends_within
from virtsupd.process.clock import Clock

Note = Callable[[str], None]
Reach = Callable[[Note], Awaitable[None]]
"""Returns once a rung is reached; says meanwhile why it is not yet, and raises NotReadyError if it never
will be."""
Tell = Callable[[Literal["status", "waiting"], str], None]
"""Told what the machine has reached, and what it waits for."""


class Climb:
    """One climb, from the spawn or the adoption of a machine."""

    def __init__(
        self,
        rungs: tuple[RungSpec, ...],
        ways: Mapping[Rung, Reach],
        clock: Clock,
        *,
        tell: Tell,
        keep: Callable[[Rung], None],
        reached: frozenset[Rung] = frozenset(),
    ) -> None:
        """Take how each rung is reached, who keeps that it was, and which are known to be."""
        self._rungs = rungs
        self._ways = ways
        self._clock = clock
        self._tell = tell
        self._keep = keep
        self._reached = set(reached)
        self._open: dict[Rung, str] = {}
        self._failure: NotReadyError | None = None
        self._done = anyio.Event()

    async def run(self) -> None:
        """Climb all rungs; returns when each was reached, or when one that counts never will be."""
        self._say()
        async with anyio.create_task_group() as tasks:
            for spec in self._rungs:
                if not spec.counts:
                    tasks.start_soon(self._reach_meanwhile, spec)
                elif not await self._reach(spec):
                    tasks.cancel_scope.cancel()
                    return
            self._done.set()

    async def wait(self) -> None:
        """Return once all rungs that count are reached.

        Raises:
            NotReadyError: one was not in its time, or never will be.
        """
        await self._done.wait()
        if self._failure is not None:
            raise self._failure

    def give_up(self, why: str) -> None:
        """Let it fail, unless it has come to its end before."""
        if not self._done.is_set():
            self._fail(why)

    async def _reach(self, spec: RungSpec) -> bool:
        if spec.rung in self._reached:
            return True
        note = self._noter(spec.rung, is_waited_for=True)
        try:
            in_time = await self._try(spec, note)
        except NotReadyError as error:
            self._fail(f"{spec.rung}: {error}")
            return False
        if not in_time:
            seen = self._open[spec.rung]
            self._fail(f"{spec.rung}: not within {spec.timeout_seconds:g} s{seen and ': '}{seen}")
        return in_time

    async def _try(self, spec: RungSpec, note: Note) -> bool:
        in_time = await ends_within(
            spec.timeout_seconds, lambda: self._ways[spec.rung](note), self._clock
        )
        if in_time:
            self._arrive(spec)
        return in_time

    async def _reach_meanwhile(self, spec: RungSpec) -> None:
        """Reach one that does not count; if that takes longer than it should, it is only said."""
        if spec.rung in self._reached:
            return
        note = self._noter(spec.rung, is_waited_for=False)
        try:
            if not await self._try(spec, note):
                note(f"not within {spec.timeout_seconds:g} s")
                await self._ways[spec.rung](lambda _: None)
                self._arrive(spec)
        except NotReadyError as error:
            note(str(error))

    def _noter(self, rung: Rung, *, is_waited_for: bool) -> Note:
        def note(why: str) -> None:
            self._open[rung] = why
            if is_waited_for:
                self._tell("waiting", f"{rung}: {why}")
            else:
                self._say()

        self._open[rung] = ""
        if is_waited_for:
            self._tell("waiting", str(rung))  # in place of what the rung below waited for
        return note

    def _arrive(self, spec: RungSpec) -> None:
        self._open.pop(spec.rung, None)
        self._reached.add(spec.rung)
        self._keep(spec.rung)
        if spec.counts:
            self._tell("waiting", "")
        self._say()

    def _say(self) -> None:
        reached = [spec.rung for spec in self._rungs if spec.rung in self._reached]
        beside = {spec.rung for spec in self._rungs if not spec.counts}
        words = [f"reached {', '.join(reached)}"] if reached else []
        words += [f"{rung}: {why}" for rung, why in self._open.items() if why and rung in beside]
        self._tell("status", "; ".join(words))

    def _fail(self, why: str) -> None:
        self._failure = NotReadyError(why)
        self._done.set()
