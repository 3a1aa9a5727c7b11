"""org.virtsupd.Supervisor: one table of methods, each a few lines over the `Backend`."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict

import anyio
import anyio.lowlevel

from virtsupd.control import commands
from virtsupd.control.access import Role
from virtsupd.control.backend import Backend, Change
from virtsupd.control.commands import Watcher
from virtsupd.control.records import plan_record, report_record, shutdown_record
from virtsupd.control.rendered import Parts, VarlinkRecords, dumps
from virtsupd.control.varlink import (
    CallError,
    Method,
    Request,
    Service,
    invalid_parameter,
    load_interface,
)
from virtsupd.core.chain import Explanation, Link
from virtsupd.core.effects import Answer
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.core.snapshot import ServiceSnapshot
from virtsupd.errors import (
    ActionError,
    ArgumentsError,
    ConfigError,
    PeerDeniedError,
    ReexecError,
    ReexecutingError,
    UnknownActionError,
    UnknownServiceError,
    VirtsupdError,
)
from virtsupd.process.clock import Clock
from virtsupd.process.inspect import inspect_processes
from virtsupd.process.log_files import follow
from virtsupd.process.log_tail import tail

NAME = "org.virtsupd.Supervisor"
_DEFAULT_LINES = 10
_MOST_LINES = 10_000
_LONGEST_SECONDS = 1e9
"""How far ahead a time may be: thirty years."""
_BATCH_CHARACTERS = 32 * 1024
_PROCESSES_IN_A_TURN = 16
_LINKS_IN_A_TURN = 16
_LOGS_EXPLAINED = 10
"""Of how many services an explanation shows the output."""
_LINE_CHARACTERS = 1000
"""How much of each of its lines."""


def supervisor_service(backend: Backend, clock: Clock) -> Service:
    """Return the interface with everything that answers it."""
    return Service(load_interface(NAME), _Supervisor(backend, clock).methods(), error)


def error(cause: VirtsupdError) -> CallError:
    """Return how an error is told."""
    match cause:
        case UnknownServiceError():
            tag, parameters = "ServiceNotFound", {"name": cause.name, "nearest": cause.nearest}
        case UnknownActionError():
            tag, parameters = "ActionNotFound", {"action": cause.action, "service": cause.service}
        case ConfigError():
            return CallError(f"{NAME}.BadConfiguration", {"problems": cause.problems})
        case commands.ShuttingDownError():
            return CallError(f"{NAME}.ShuttingDown")
        case ReexecutingError():
            return CallError(f"{NAME}.Reexecuting")
        case _:
            tag, parameters = _MESSAGE_TAGS.get(type(cause), "Internal"), {"message": str(cause)}
    return CallError(f"{NAME}.{tag}", parameters)


_MESSAGE_TAGS: dict[type[VirtsupdError], str] = {
    ActionError: "ActionFailed",
    ArgumentsError: "BadArguments",
    PeerDeniedError: "PermissionDenied",
    ReexecError: "ReexecRefused",
}


class _Supervisor:
    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        self._records = VarlinkRecords()

    def methods(self) -> dict[str, Method]:
        return {
            "Status": Method(Role.VIEWER, self._status, waits=False),
            "Start": Method(Role.OPERATOR, self._command(Verb.START)),
            "Stop": Method(Role.OPERATOR, self._command(Verb.STOP)),
            "Restart": Method(Role.OPERATOR, self._command(Verb.RESTART)),
            "ReloadService": Method(Role.OPERATOR, self._command(Verb.RELOAD)),
            "Trigger": Method(Role.OPERATOR, self._command(Verb.TRIGGER)),
            "Hold": Method(Role.OPERATOR, self._command(Verb.HOLD)),
            "Release": Method(Role.OPERATOR, self._command(Verb.RELEASE)),
            "Enable": Method(Role.ADMIN, self._command(Verb.ENABLE)),
            "Disable": Method(Role.ADMIN, self._command(Verb.DISABLE)),
            "Plan": Method(Role.VIEWER, self._plan),
            "Reload": Method(Role.ADMIN, self._reload),
            "WouldTouch": Method(Role.VIEWER, self._would_touch),
            "Wait": Method(Role.VIEWER, self._wait),
            "Why": Method(Role.VIEWER, self._why),
            "Watch": Method(Role.VIEWER, self._watch, needs_more=True),
            "Log": Method(Role.VIEWER, self._log, needs_more=True),
            "Cat": Method(Role.VIEWER, self._cat, waits=False),
            "Act": Method(Role.OPERATOR, self._act),
            "Processes": Method(Role.VIEWER, self._processes, waits=False),
            "Shutdown": Method(Role.ADMIN, self._shutdown),
            "Quit": Method(Role.ADMIN, self._quit, waits=False),
            "Reexec": Method(Role.ADMIN, self._reexec),
        }

    async def _status(self, request: Request) -> Parts:
        if request.parameters["names"]:
            shown: Sequence[ServiceSnapshot] = [
                self._backend.snapshot(name) for name in self._viewed(request)
            ]
        else:
            shown = commands.visible(self._backend, request.grant)
        facts = commands.visible_facts(self._backend, request.grant)
        names = (snapshot.spec.name for snapshot in shown)
        others = {name: count for name in names if (count := self._backend.others(name))}
        return await self._records.status(shown, facts, others, request.turn)

    def _command(self, verb: Verb) -> Callable[[Request], Awaitable[Parts]]:
        async def run(request: Request) -> Parts:
            names = self._named(request)
            commands.check(self._backend, request.grant, verb, names)
            guests = bool(request.parameters.get("guests"))
            force = bool(request.parameters.get("force"))
            until = self._end_of(request)
            once = commands.once(request.grant, request.parameters.get("once"), names)

            async def ask() -> Answer:
                who = f"{request.grant.peer} via virtsupctl"
                return await self._backend.ask(
                    verb, names, who=who, guests=guests, force=force, until=until, once=once
                )

            return await self._answered(request, ask)

        return run

    def _end_of(self, request: Request) -> float | None:
        """Return when the time ends that a command is about; None: it has none."""
        seconds = request.parameters.get("seconds")
        if seconds is None:
            return None
        if not 0 <= seconds <= _LONGEST_SECONDS:
            raise invalid_parameter("seconds")
        return self._clock.now().wall + float(seconds)

    async def _wait(self, request: Request) -> Parts:
        names = self._viewed(request)
        state = request.parameters["state"]
        if state not in ("running", "stopped"):
            raise invalid_parameter("state")

        async def ask() -> Answer:
            if state == "stopped":
                return await commands.wait_stopped(self._backend, names)
            return await self._backend.ask(Verb.WAIT, names, who=str(request.grant.peer))

        return await self._answered(request, ask)

    async def _answered(self, request: Request, ask: Callable[[], Awaitable[Answer]]) -> Parts:
        if request.wants_more:
            answer = await commands.watched(self._backend, ask, self._progress(request))
        else:
            answer = await ask()
        reports = [report_record(report) for report in answer.reports]
        return [dumps({"reports": reports, "touched": answer.touched})]

    def _progress(self, request: Request) -> Watcher:
        async def tell(change: Change) -> None:
            if request.grant.allows(Role.VIEWER, change.snapshot.spec.name):
                await request.progress([b'{"progress":', *self._event(change), b"}"])

        return tell

    def _event(self, change: Change) -> Parts:
        return self._records.event(change, self._clock.now().wall)

    async def _why(self, request: Request) -> Parts:
        names = self._viewed(request)
        if not names:
            raise invalid_parameter("names")
        explained = [await self._explained(request, self._backend.why(name)) for name in names]
        return [b'{"explanations":[', b",".join(explained), b"]}"]

    async def _explained(self, request: Request, found: Explanation) -> bytes:
        """Return the text of type Explanation, as much of it as the peer may see."""
        shown = [link for link in found.links if request.grant.allows(Role.VIEWER, link.name)]
        logs = {
            link.name: await self._last_lines(link)
            for link in [link for link in shown if link.has_trouble][:_LOGS_EXPLAINED]
        }
        texts: list[bytes] = []
        for link in shown:
            texts.append(self._records.link(link, logs.get(link.name, ())))
            if len(texts) % _LINKS_IN_A_TURN == 0:
                await request.turn()
        head = dumps({"name": found.name, "culprits": found.culprits})
        return b'%b,"links":[%b]}' % (head[:-1], b",".join(texts))

    async def _last_lines(self, link: Link) -> Sequence[str]:
        file = _log_file(link.snapshot)
        if not file:
            return ()
        await self._backend.settle_log(link.name)
        return [line[:_LINE_CHARACTERS] for line in await tail(file, _DEFAULT_LINES)]

    async def _watch(self, request: Request) -> Parts:
        names = frozenset(self._viewed(request))
        async with self._backend.changes() as changes:
            async for change in changes:
                name = change.snapshot.spec.name
                if name in names or (not names and request.grant.allows(Role.VIEWER, name)):
                    await request.progress([b'{"event":', *self._event(change), b"}"])
        # The subscription ended: virtsupd is ending, or the peer reads too slowly.
        if self._backend.facts().phase == "re-executing":
            raise CallError(f"{NAME}.Reexecuting")
        raise CallError(f"{NAME}.ShuttingDown")

    async def _log(self, request: Request) -> Parts:
        names = self._viewed(request)
        count = request.parameters.get("lines")
        count = _DEFAULT_LINES if count is None else count
        if not names:
            raise invalid_parameter("names")
        if not 0 <= count <= _MOST_LINES:
            raise invalid_parameter("lines")
        files = {name: _log_file(self._backend.snapshot(name)) for name in names}
        if request.parameters.get("follow"):
            await self._follow(request, files, count)
        else:
            async with anyio.create_task_group() as tasks:
                for name in names:
                    tasks.start_soon(self._backend.settle_log, name)
            for name, file in files.items():
                await _show_lines(request, name, await tail(file, count) if file else [])
        return [dumps({"name": names[-1], "lines": []})]

    async def _follow(self, request: Request, files: Mapping[Name, str], count: int) -> None:
        async def show(name: Name, file: str, scope: anyio.CancelScope) -> None:
            try:
                async with contextlib.aclosing(follow(file, count)) as batches:
                    async for lines in batches:
                        await _show_lines(request, name, lines)
            except BrokenPipeError:
                scope.cancel()

        if not any(files.values()):
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._await_end, tasks.cancel_scope)
            for name, file in files.items():
                if file:
                    tasks.start_soon(show, name, file, tasks.cancel_scope)
        commands.check_phase(self._backend)

    async def _await_end(self, scope: anyio.CancelScope) -> None:
        """Cancel once virtsupd ends, or becomes another program."""
        async with self._backend.changes() as changes:
            async for _ in changes:
                pass
        scope.cancel()

    async def _cat(self, request: Request) -> Parts:
        return [dumps({"text": self._backend.definition(self._one(request, Role.VIEWER))})]

    async def _act(self, request: Request) -> Parts:
        name = self._one(request, Role.OPERATOR)
        arguments = request.parameters.get("arguments") or []
        if any("\0" in argument for argument in arguments):
            raise invalid_parameter("arguments")
        action = request.parameters["action"]
        commands.check_action(self._backend, request.grant, name, action)
        if request.parameters.get("terminal"):
            command = commands.for_terminal(self._backend, name, action)
            if command:
                return [dumps({"lines": (), "run": [*command, *arguments]})]
        lines = await self._backend.act(name, action, arguments)
        return [dumps({"lines": list(lines)})]

    async def _processes(self, request: Request) -> Parts:
        pids = self._backend.pids(self._one(request, Role.VIEWER))
        found: list[dict[str, object]] = []
        for start in range(0, len(pids), _PROCESSES_IN_A_TURN):
            if start:
                await request.turn()
            part = inspect_processes(pids[start : start + _PROCESSES_IN_A_TURN])
            found += [asdict(facts) for facts in part]
        return [dumps({"processes": found})]

    async def _reload(self, request: Request) -> Parts:
        request.grant.require(Role.ADMIN, "reload")
        commands.check_phase(self._backend)
        return [dumps(plan_record(await self._backend.reload_configuration()))]

    async def _plan(self, request: Request) -> Parts:
        # It is about services that may not be there yet: who may look at some of them only, may not ask.
        request.grant.require(Role.VIEWER, "plan")
        commands.check_phase(self._backend)
        return [dumps(plan_record(await self._backend.plan_reload(request.parameters["names"])))]

    async def _would_touch(self, request: Request) -> Parts:
        verb = request.parameters["verb"]
        if verb not in (Verb.START, Verb.STOP, Verb.RESTART):
            raise invalid_parameter("verb")
        commands.check_phase(self._backend)
        names = self._viewed(request)
        touch = self._backend.would_touch(Verb(verb), names)
        request.grant.require(Role.VIEWER, "looking", (*touch.stopped, *touch.started))
        guests = [n for n in touch.stopped if self._backend.snapshot(n).spec.is_guest]
        flags = {key: bool(request.parameters.get(key)) for key in ("guests", "force")}
        harms = await self._backend.harms(touch.stopped)
        refusals = await self._backend.refusal(Verb(verb), names, **flags)
        told = {
            "stopped": touch.stopped,
            "started": touch.started,
            "guests": guests,
            "harms": [f"{name}: {harm}" for name, harm in harms.items()],
            "refusals": [report_record(found) for found in refusals],
        }
        return [dumps(told)]

    async def _shutdown(self, request: Request) -> Parts:
        async def tell(change: Change | None) -> None:
            shutdown = dumps(shutdown_record(self._backend.facts().shutdown))
            event = [b',"progress":', *self._event(change)] if change is not None else []
            await request.progress([b'{"shutdown":', shutdown, *event, b"}"])

        await commands.end(self._backend, request.grant, tell if request.wants_more else None)
        found = self._backend.facts().shutdown
        return [dumps({"left": found.left if found is not None else ()})]

    async def _quit(self, request: Request) -> Parts:
        request.grant.require(Role.ADMIN, "quit")
        commands.check_phase(self._backend)
        self._backend.end("quit", who=f"{request.grant.peer} via virtsupctl")
        return [b"{}"]

    async def _reexec(self, request: Request) -> Parts:
        request.grant.require(Role.ADMIN, "reexec")
        commands.check_phase(self._backend)
        before = self._backend.facts()
        found = await self._backend.reexec(who=f"{request.grant.peer} via virtsupctl")
        versions = {"version": before.version, "next_version": found}
        return [dumps({**versions, "reexecs": before.reexecs})]

    def _named(self, request: Request) -> tuple[Name, ...]:
        return commands.resolve(self._backend, request.parameters["names"])

    def _viewed(self, request: Request) -> tuple[Name, ...]:
        """Return the services named, all of which the peer may look at."""
        names = self._named(request)
        request.grant.require(Role.VIEWER, "looking", names)
        return names

    def _one(self, request: Request, needed: Role) -> Name:
        name = self._backend.resolve(request.parameters["name"])
        what = request.parameters.get("action", "looking")
        request.grant.require(needed, what, [name])
        return name


def _log_file(snapshot: ServiceSnapshot) -> str:
    process = snapshot.spec.process
    return process.log.file if process else ""


async def _show_lines(request: Request, name: Name, lines: Sequence[str]) -> None:
    """Send lines in replies of moderate size, letting others go first between them."""
    size = 0
    batch: list[str] = []
    for line in lines:
        batch.append(line)
        size += len(line)
        if size >= _BATCH_CHARACTERS:
            await request.progress([dumps({"name": name, "lines": batch})])
            await anyio.lowlevel.checkpoint()
            size, batch = 0, []
    if batch:
        await request.progress([dumps({"name": name, "lines": batch})])
    await anyio.lowlevel.checkpoint()
