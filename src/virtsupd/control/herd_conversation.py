"""One herd command and its reply: the waiting between `herd`'s parsing and its rendering."""

from collections.abc import Mapping

from virtsupd.control import commands, herd, herd_replies
from virtsupd.control.access import Grant, Role
from virtsupd.control.backend import Backend, JobOrder
from virtsupd.control.connection import Connection
from virtsupd.control.rendered import HerdRecords, Parts
from virtsupd.control.sexp import Datum, Reader
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.core.snapshot import ServiceSnapshot
from virtsupd.errors import ActionError, UnknownActionError, UnknownServiceError, VirtsupdError
from virtsupd.process.log_files import recent_lines

_COMMAND_SECONDS = 0.001
"""What a command counts as of its sender's share of the event loop, whatever it really costs."""
_RECENT_LINES = 10
_OF_TIMERS = (Verb.TRIGGER, Verb.HOLD, Verb.RELEASE)


class HerdConversation:
    """Answers the one command of a connection."""

    def __init__(
        self, connection: Connection, backend: Backend, records: HerdRecords, grant: Grant
    ) -> None:
        """Prepare to answer for `backend`; all conversations share `records`."""
        self._connection = connection
        self._records = records
        self._backend = backend
        self._grant = grant

    async def run(self) -> None:
        """Take the command, answer it and return; a shutdown is answered by the end alone.

        Raises:
            ProtocolError: the peer sent what is no command, or took too long.
            BrokenPipeError: the peer is gone or does not read.
        """
        datum = await self._receive()
        if datum is None:
            return
        self._connection.message_ended()
        await self._connection.turn()
        self._connection.account.charge(_COMMAND_SECONDS)
        command = herd.parse_command(datum)
        with self._connection.until_hang_up():
            await self._connection.send(await self._answer(command))

    async def _receive(self) -> Datum | None:
        reader = Reader(self._connection.limits.herd_bytes)
        with self._connection.deadline():
            while chunk := await self._connection.chunk():
                if (datum := reader.feed(chunk)) is not None:
                    return datum
        return None

    async def _answer(self, command: herd.HerdCommand) -> Parts:
        try:
            request = herd.plan(command)
            if isinstance(request, herd.RootStatus):
                return await self._show_all()
            return [await self._perform(request)]
        except VirtsupdError as error:
            return [herd.render_error(error, command)]
        except ConnectionError:
            raise  # the peer is gone
        except Exception as error:  # noqa: BLE001 - logged by defect; a command is always answered
            defect = self._connection.defect(f"{command.action} {command.service}", error)
            return [herd.render_error(defect, command)]

    async def _show_all(self) -> Parts:
        self._require_any_role("status")
        shown = commands.visible(self._backend, self._grant)
        return await self._records.status(shown, self._backend.facts(), self._connection.turn)

    def _show(self, snapshot: ServiceSnapshot) -> bytes:
        """Render one service with the end of its log.

        Lines carry no times in the file. Each is shown with that of the last write: true for the
        newest, the latest possible for the others. Why the service is as it is comes last on
        herd's screen, since herd shows no field that says it.
        """
        files = self._backend.log_files(snapshot.spec.name)
        process = snapshot.spec.process
        written, lines = recent_lines(process.log.file if process else "", _RECENT_LINES)
        recent = [*herd_replies.own_messages(snapshot), *((written, line) for line in lines)]
        return herd_replies.render_status(snapshot, log_files=files, recent=recent[:_RECENT_LINES])

    async def _perform(self, request: herd.Request) -> bytes:
        match request:
            case herd.Status(service):
                return self._show(self._snapshot(service, Role.VIEWER, "status"))
            case herd.Doc(service, words):
                return herd_replies.render_doc(words, self._snapshot(service, Role.VIEWER, "doc"))
            case herd.Why(service):
                return self._explain(service)
            case herd.Ask():
                return await self._ask(request)
            case herd.Act():
                return await self._act(request)
            case _:
                return await self._perform_on_root(request)

    async def _perform_on_root(self, request: herd.Request) -> bytes:
        match request:
            case herd.Canned(reply):
                self._require_any_role("herd")
                return reply
            case herd.Schedule():
                return self._schedule(request)
            case herd.Shutdown():
                await commands.end(self._backend, self._grant, None)
                return b""
            case herd.ReloadConfiguration():
                self._grant.require(Role.ADMIN, "reload")
                commands.check_phase(self._backend)
                return herd_replies.render_reload(await self._backend.reload_configuration())
            case _:
                self._require_any_role("start")
                return herd_replies.render_root_start(self._backend.facts())

    async def _ask(self, request: herd.Ask) -> bytes:
        name = self._backend.resolve(request.service)
        commands.check(self._backend, self._grant, request.verb, [name])
        before = self._backend.snapshot(name)
        if request.verb in _OF_TIMERS and before.timer is None:
            raise UnknownActionError(request.verb, name)
        who = f"{self._grant.peer} via herd"
        answer = await self._backend.ask(request.verb, [name], who=who, force=request.force)
        return herd_replies.render_answer(request.verb, answer, self._after(name, before))

    async def _act(self, request: herd.Act) -> bytes:
        name = self._backend.resolve(request.service)
        commands.check_action(self._backend, self._grant, name, request.action)
        lines = await self._backend.act(name, request.action, request.arguments)
        return herd_replies.render_lines(lines)

    def _schedule(self, request: herd.Schedule) -> bytes:
        """Have a command run as virtsupd may run it: whoever may ask for that may do anything."""
        self._grant.require(Role.ADMIN, herd.SCHEDULE)
        commands.check_phase(self._backend)
        order = JobOrder(request.at, request.command, *_as_table(request.options))
        name = self._backend.schedule(order, who=f"{self._grant.peer} via herd")
        return herd_replies.render_unspecified(f"Service {name} has been started.")

    def _explain(self, service: str) -> bytes:
        name = self._backend.resolve(service)
        self._grant.require(Role.VIEWER, "why", [name])
        links = self._backend.why(name).links
        return herd_replies.render_why(
            [link for link in links if self._grant.allows(Role.VIEWER, link.name)]
        )

    def _snapshot(self, service: str, needed: Role, what: str) -> ServiceSnapshot:
        name = self._backend.resolve(service)
        self._grant.require(needed, what, [name])
        return self._backend.snapshot(name)

    def _after(self, name: Name, before: ServiceSnapshot) -> ServiceSnapshot:
        """Return the service now, or as it was last if it is gone: transient services go."""
        try:
            return self._backend.snapshot(self._backend.resolve(name))
        except UnknownServiceError:
            return before

    def _require_any_role(self, what: str) -> None:
        if self._grant.is_empty:
            self._grant.require(Role.VIEWER, what)


def _as_table(options: Mapping[str, str | tuple[str, ...]]) -> tuple[str, dict[str, object]]:
    """Return the name that herd's options give, and the keys of `[service.NAME]` that they mean.

    Raises:
        ActionError: one of them is none of `schedule`.
    """
    table: dict[str, object] = {}
    name = ""
    for option, value in options.items():
        match option, value:
            case "name", str():
                name = value
            case (("directory" | "user" | "group"), str()):
                table[option] = value
            case "log-file", str():
                table["log"] = {"file": value}
            case "extra-environment-variables", tuple():
                table["environment"] = dict(word.partition("=")[::2] for word in value)
            case _:
                raise ActionError(f"schedule takes no option {option} of this kind")
    return name, table
