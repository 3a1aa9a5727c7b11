"""What both languages ask of the daemon: who may give a command, its names, and its progress."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import anyio
from anyio.abc import ObjectReceiveStream

from virtsupd.control.access import Grant, Role
from virtsupd.control.backend import Backend, Change, DaemonFacts
from virtsupd.core.effects import Answer, Report, Result
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.core.snapshot import ServiceSnapshot, State
from virtsupd.errors import ArgumentsError, ReexecutingError, UnknownServiceError, VirtsupdError

NEEDED = {
    Verb.START: Role.OPERATOR,
    Verb.STOP: Role.OPERATOR,
    Verb.RESTART: Role.OPERATOR,
    Verb.RELOAD: Role.OPERATOR,
    Verb.ENABLE: Role.ADMIN,
    Verb.DISABLE: Role.ADMIN,
    Verb.TRIGGER: Role.OPERATOR,
    Verb.HOLD: Role.OPERATOR,
    Verb.RELEASE: Role.OPERATOR,
    Verb.WAIT: Role.VIEWER,
    Verb.SHUTDOWN: Role.ADMIN,
}


class ShuttingDownError(VirtsupdError):
    """virtsupd is ending and begins nothing new."""

    code = "shutting-down"

    def __init__(self) -> None:
        """Say so."""
        super().__init__("virtsupd is shutting down")


class Watcher(Protocol):
    """Is told of each change while a command is carried out; BrokenPipeError ends the wait."""

    async def __call__(self, change: Change, /) -> None:
        """Take one change."""
        ...


def resolve(backend: Backend, names: Iterable[str]) -> tuple[Name, ...]:
    """Return the canonical names, each once, in the order given.

    Raises:
        UnknownServiceError: nothing provides one of them.
    """
    return tuple(dict.fromkeys(backend.resolve(name) for name in names))


def visible(backend: Backend, grant: Grant) -> Sequence[ServiceSnapshot]:
    """Return all services that the peer may look at."""
    snapshots = backend.snapshots()
    if grant.allows(Role.VIEWER):
        return snapshots
    return [found for found in snapshots if grant.allows(Role.VIEWER, found.spec.name)]


def check(backend: Backend, grant: Grant, verb: Verb, names: Sequence[Name]) -> None:
    """Check that the peer may give this command, and that virtsupd still takes it.

    The role is needed for the services named and for all that the command would stop: dependents,
    and what conflicts with anything it starts. What is merely started along needs none: who may
    start a service may have what it requires.

    The command is to be given before anything else is awaited: what it touches may change.

    Raises:
        PeerDeniedError: the peer lacks the role for a service.
        ShuttingDownError, ReexecutingError: nothing new begins any more.
    """
    if not grant.is_admin:
        grant.require(NEEDED[verb], verb, names)
        also = sorted(set(backend.would_touch(verb, names).stopped).difference(names))
        grant.require(NEEDED[verb], f"{verb} would stop others and", also)
    if verb is not Verb.WAIT:
        check_phase(backend)


def once(grant: Grant, arguments: Sequence[str] | None, names: Sequence[Name]) -> tuple[str, ...]:
    """Return what a start gives to one run of a process; () for nothing.

    Raises:
        ArgumentsError: no process can be given such arguments.
        PeerDeniedError: there are some, and the peer is no admin of the services: they may change
            anything about what is run.
    """
    if arguments:
        grant.require(Role.ADMIN, "start --once", names)
    if any("\0" in argument for argument in arguments or ()):
        raise ArgumentsError("--once: an argument holds a zero byte")
    return tuple(arguments or ())


def check_action(backend: Backend, grant: Grant, name: Name, action: str) -> None:
    """Check that the peer may have a service's action carried out, and that virtsupd still does.

    Raises:
        PeerDeniedError: the peer lacks the role that this action needs.
        ShuttingDownError, ReexecutingError: nothing new begins any more.
    """
    of_admin = {item.name for item in backend.snapshot(name).spec.actions if item.needs_admin}
    grant.require(Role.ADMIN if action in of_admin else Role.OPERATOR, action, [name])
    check_phase(backend)


def for_terminal(backend: Backend, name: Name, action: str) -> tuple[str, ...]:
    """Return the command of an interactive action, for whoever asks to run it; () of any other."""
    actions = backend.snapshot(name).spec.actions
    found = (item.command for item in actions if item.name == action and item.is_interactive)
    return next(found, ())


def check_phase(backend: Backend) -> None:
    """Check that virtsupd is neither ending nor becoming another program.

    Raises:
        ShuttingDownError, ReexecutingError: it is.
    """
    phase = backend.facts().phase
    if phase == "shutting-down":
        raise ShuttingDownError
    if phase == "re-executing":
        raise ReexecutingError


async def watched(
    backend: Backend, command: Callable[[], Awaitable[Answer]], watcher: Watcher
) -> Answer:
    """Carry out a command and tell `watcher` of every change until it is done.

    Raises:
        BrokenPipeError: the watcher gave up; the command itself stays in force.
        VirtsupdError: what the command raised.
    """
    answer: Answer | None = None
    failure: VirtsupdError | None = None

    async def tell(changes: ObjectReceiveStream[Change], scope: anyio.CancelScope) -> None:
        try:
            async for change in changes:
                await watcher(change)
        except BrokenPipeError:
            scope.cancel()

    async with backend.changes() as changes, anyio.create_task_group() as tasks:
        tasks.start_soon(tell, changes, tasks.cancel_scope)
        try:
            answer = await command()
        except VirtsupdError as error:
            failure = error  # raised within the task group, it would come out as a group
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if answer is None:
        raise BrokenPipeError("the peer is gone")
    return answer


async def wait_stopped(backend: Backend, names: Sequence[Name]) -> Answer:
    """Wait until all the services are stopped, or gone.

    Ends early, with what is so by then, when virtsupd ends.

    Raises:
        ReexecutingError: virtsupd becomes another program, which is to be asked.
    """
    async with backend.changes() as changes:
        with suppress(anyio.EndOfStream, anyio.ClosedResourceError):
            while not all(_is_stopped(backend, name) for name in names):
                await changes.receive()
        if backend.facts().phase == "re-executing":
            raise ReexecutingError
        return Answer(0, tuple(_stopped_report(backend, name) for name in names))


def _is_stopped(backend: Backend, name: Name) -> bool:
    try:
        return backend.snapshot(backend.resolve(name)).state is State.STOPPED
    except UnknownServiceError:
        return True


def _stopped_report(backend: Backend, name: Name) -> Report:
    if _is_stopped(backend, name):
        return Report(name, Result.DONE, f"{name} is stopped")
    return Report(name, Result.FAILED, f"{name} is not stopped")


def visible_facts(backend: Backend, grant: Grant) -> DaemonFacts:
    """Return what virtsupd knows of itself, without guests and services that the peer may not see."""
    facts = backend.facts()
    found = facts.shutdown
    if found is None or grant.allows(Role.VIEWER):
        return facts
    seen = tuple(w for w in found.waits if grant.allows(Role.VIEWER, w.host or w.name))
    return replace(facts, shutdown=replace(found, waits=seen))


async def end(
    backend: Backend,
    grant: Grant,
    watcher: Callable[[Change | None], Awaitable[None]] | None,
) -> None:
    """Shut everything down and wait for it: until the daemon ends its changes.

    The watcher is called once with None, as soon as the shutdown has begun.

    Raises:
        PeerDeniedError: the peer is no admin.
        BrokenPipeError: the watcher gave up; the shutdown goes on.
    """
    grant.require(Role.ADMIN, Verb.SHUTDOWN)
    async with backend.changes() as changes:
        backend.end("shutdown", who=str(grant.peer))
        if watcher is not None:
            await watcher(None)
        with suppress(anyio.ClosedResourceError):
            async for change in changes:
                if watcher is not None:
                    await watcher(change)
