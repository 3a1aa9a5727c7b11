"""Where the output of services goes: one FIFO each, which the log keeper moves into a log file.

virtsupd, the keeper and the service all hold the FIFO open for reading and writing, so whichever of
them dies, the writer is not ended and nothing that was written is lost.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import anyio

from virtsupd.core.names import Name, file_name
from virtsupd.core.spec import LogSpec
from virtsupd.errors import SpawnError
from virtsupd.process.clock import Clock
from virtsupd.process.fifo import checked, open_fifo, prepare, waiting_bytes
from virtsupd.process.keeper_link import ChildWatcher, KeeperLink, remove_traces

_DRAIN_SECONDS = 1.0
_END_SECONDS = 10.0
_ASK_AGAIN_SECONDS = 0.5
_LOOKS = 4
_CLOSING = ""
"""The token of a `drain` that precedes a `close`."""


@dataclass(slots=True)
class _Output:
    """What is open for one service."""

    log: LogSpec
    path: Path
    descriptor: int
    """-1: not held any more, and about to be closed."""


class Outputs:
    """The FIFOs of all services, and the keeper that empties them.

    All methods belong to the event loop's thread. `open` works before the keeper is connected:
    output then waits in the FIFO, up to 1 MiB.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        children: ChildWatcher,
        clock: Clock,
        on_trouble: Callable[[Name, str | None], None],
    ) -> None:
        """Prepare; nothing is made yet.

        `children` is the reaper; `on_trouble` learns why a log cannot be written, and None when
        it can again.
        """
        self._run_dir = run_dir
        self._fifo_dir = run_dir / "fifo"
        self._clock = clock
        self._on_trouble = on_trouble
        self._link = KeeperLink(run_dir, children=children, clock=clock)
        self._link.on_connected = self._tell_all
        self._link.on_message = self._take
        self._link.on_warning = self._take_link_warning
        self._outputs: dict[Name, _Output] = {}
        self._inherited: dict[Name, int] = {}
        self._closing: dict[Name, _Output | None] = {}
        self._troubled: set[Name] = set()
        self._drains: dict[str, tuple[str, anyio.Event]] = {}
        self._tokens = count(1)
        self._link_warning: str | None = None
        self._keeper_warnings: dict[str, None] = {}
        self._null = -1
        self._has_ended = anyio.Event()

    @property
    def keeper_pid(self) -> int | None:
        """The connected keeper's pid; None while there is none. No pid file may name it."""
        return self._link.pid

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is degraded for every log: no keeper, no compression."""
        first = (self._link_warning,) if self._link_warning else ()
        return (*first, *self._keeper_warnings)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep a keeper at work: the living one of this run directory, or a new one, again and again.

        Returns without waiting for it. Leaving the context closes all descriptors; the keeper
        lives on unless `shutdown` ended it.

        Raises:
            OSError: the directory for the FIFOs cannot be made.
        """
        self._fifo_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._run_link)
                yield
                tasks.cancel_scope.cancel()
        finally:
            self._close_descriptors()

    def path(self, name: Name) -> Path:
        """Return where the FIFO of a service is, if there is one."""
        return self._fifo_dir / file_name(name)

    def open(self, name: Name, log: LogSpec, *, uid: int, gid: int) -> int:
        """Return the descriptor to start the service's standard output and error with.

        It stays ours and valid until `close`. Opening again returns the same one and tells the
        keeper of a changed `log`. Without a file it is /dev/null.

        Raises:
            SpawnError: the FIFO cannot be made (stage "output").
        """
        try:
            if not log.file:
                if name in self._outputs:
                    self.close(name)
                return self._open_null()
            descriptor = self._open(name, log)
            prepare(descriptor, uid, gid)
        except OSError as error:
            raise _refusal(name, error) from error
        return descriptor

    def resume(self, name: Name, log: LogSpec) -> None:
        """Hold the FIFO of a service that an earlier virtsupd started, and have it kept as before.

        It stays its user's, and non-blocking if that made it so. Nothing is done without a file.

        Raises:
            SpawnError: it cannot be opened (stage "output").
        """
        try:
            if log.file:
                self._open(name, log)
        except OSError as error:
            raise _refusal(name, error) from error

    def close(self, name: Name) -> None:
        """Forget a service's output; its FIFO goes once it is empty and nobody holds it any more.

        As long as guests or jobs of the service do, the keeper goes on with it. A name that this
        virtsupd never opened is forgotten by the keeper too.
        """
        if name in self._outputs or name not in self._closing:
            self._closing[name] = self._outputs.pop(name, None)
        self._troubled.discard(name)
        self._ask_to_close(name)

    def handed(self) -> dict[str, int]:
        """Return the FIFOs, by service, for a program that this one becomes: they may be full."""
        return {name: output.descriptor for name, output in self._outputs.items()}

    def inherit(self, descriptors: Mapping[str, int]) -> None:
        """Take up what `handed` told before an exec; each is used when its service opens its output."""
        self._inherited = {Name(name): number for name, number in descriptors.items()}

    def forget_inherited(self) -> None:
        """Close what no service has opened by now."""
        while self._inherited:
            os.close(self._inherited.popitem()[1])

    def rename(self, name: Name, heir: Name) -> None:
        """Let the FIFO of a service that this virtsupd has not opened be another one's from now on.

        What is in it still goes to the old log file.
        """
        with suppress(OSError):
            self.path(name).rename(self.path(heir))
        if name in self._inherited:
            self._inherited[heir] = self._inherited.pop(name)
        self.close(name)

    def written(self, name: Name) -> int:
        """Return how long the log file is once all that was written so far is in it; 0 without one.

        What waits in the FIFO counts, unless it will be dropped. Known exactly as long as nobody
        writes; from a service that does, up to 1 MiB may be missing in the number.
        """
        output = self._outputs.get(name)
        if output is None:
            return 0
        size = _size(output.log.file)
        for _ in range(_LOOKS):
            waiting = 0 if name in self._troubled else waiting_bytes(output.descriptor)
            # The keeper holds the FIFO's lock while it moves: with one size, nothing was on its way.
            if size == (size := _size(output.log.file)):
                return size + waiting
        return size

    async def drained(self, name: Name) -> None:
        """Return once all that was written so far is in the log file, or after a second.

        At once for a service without a log. A log that cannot be written holds nobody up.
        """
        if name in self._outputs:
            await self._answered(name, _DRAIN_SECONDS)

    async def _answered(self, name: str, seconds: float) -> bool:
        """Return whether the keeper has answered, in time, all that was said so far, this included."""
        token = str(next(self._tokens))
        _, is_done = self._drains[token] = (name, anyio.Event())
        self._link.send("drain", name, token)
        try:
            with anyio.move_on_after(seconds):
                await is_done.wait()
        finally:
            del self._drains[token]
        return is_done.is_set()

    async def shutdown(self) -> None:
        """Have the keeper empty all FIFOs and end, and remove what was made in the run directory.

        That is the FIFOs: what else lies among them stays. It is no error if all of it is gone.

        Logs and rotated files stay. A keeper that has not ended after ten seconds is left alone,
        with its socket, for the next virtsupd to find.
        """
        with anyio.move_on_after(_END_SECONDS):
            while self._link_warning is None and not self._link.connected.is_set():
                with anyio.move_on_after(_ASK_AGAIN_SECONDS):
                    await self._link.connected.wait()
            self._link.end()
            await self._has_ended.wait()
            with suppress(OSError):
                remove_traces(self._run_dir)
        self._close_descriptors()
        with suppress(OSError):
            for path in self._fifo_dir.iterdir():
                if path.is_fifo():
                    path.unlink()
            self._fifo_dir.rmdir()

    async def told(self) -> None:
        """Return once the keeper knows of every log, or after ten seconds; belongs before `leave`.

        One that was started a moment ago would be told of them by nobody else, and services stop
        when their FIFO is full.
        """
        with anyio.move_on_after(_END_SECONDS):
            # One that ends meanwhile answers nothing, and the next one, if there can be one, has to be asked anew.
            while self._outputs and self._link_warning is None:
                if await self._answered("", _ASK_AGAIN_SECONDS):
                    return

    def leave(self) -> None:
        """Let go of every FIFO; the keeper and the services go on without us."""
        self._close_descriptors()

    def _open(self, name: Name, log: LogSpec) -> int:
        """Return the service's FIFO, made if need be; the keeper is told what it does not know."""
        known = self._outputs.get(name)
        if known is None:
            known = self._outputs[name] = self._make(name, log)
            self._tell(name, known)
        elif known.log != log:
            known.log = log
            self._tell(name, known)
        return known.descriptor

    def _make(self, name: Name, log: LogSpec) -> _Output:
        """Open the FIFO, or take back the one that is being closed."""
        output = self._closing.pop(name, None)
        if output is None or output.descriptor < 0:
            path = self.path(name)
            kept = checked(self._inherited.pop(name, None), path)
            return _Output(log, path, open_fifo(path) if kept is None else kept)
        output.log = log
        return output

    def _ask_to_close(self, name: Name) -> None:
        """Have the keeper empty a FIFO that we hold, and let go of one that we do not."""
        output = self._closing[name]
        is_held = output is not None and output.descriptor >= 0
        self._link.send(*(("drain", name, _CLOSING) if is_held else ("close", name)))

    async def _run_link(self) -> None:
        await self._link.run()
        self._has_ended.set()

    def _tell_all(self) -> None:
        """Say again to a keeper, new or found alive, all that is wanted of it."""
        for name, output in self._outputs.items():
            self._tell(name, output)
        for name, closing in self._closing.items():
            if closing is not None:
                self._tell(name, closing)
            self._ask_to_close(name)
        for token, (drained, _) in self._drains.items():
            self._link.send("drain", drained, token)

    def _tell(self, name: Name, output: _Output) -> None:
        log = output.log
        self._link.send(
            "open",
            name,
            str(output.path),
            log.file,
            str(log.max_size_bytes),
            str(log.max_age_seconds),
            str(log.keep),
            log.compress,
            log.on_full,
            f"{log.mode:o}",
        )

    def _take(self, message: list[str]) -> None:
        """Take a message of the keeper."""
        match message:
            case ["trouble", name, text]:
                self._take_trouble(Name(name), text)
            case ["closed", name]:
                self._finish_closing(Name(name))
            case ["drained", name, token]:
                self._finish_draining(Name(name), token)
            case ["warning", text]:
                self._keeper_warnings[text] = None
            case _:
                # A keeper of another version may say more than we know.
                return

    def _finish_draining(self, name: Name, token: str) -> None:
        if token == _CLOSING:
            self._let_go(name)
        elif token in self._drains:
            self._drains[token][1].set()

    def _take_trouble(self, name: Name, text: str) -> None:
        """Pass on what changed: the keeper also says that nothing is wrong when nothing was."""
        if text and name in self._outputs:
            self._troubled.add(name)
            self._on_trouble(name, text)
        elif name in self._troubled:
            self._troubled.discard(name)
            self._on_trouble(name, None)

    def _take_link_warning(self, text: str | None) -> None:
        self._link_warning = text

    def _finish_closing(self, name: Name) -> None:
        if name in self._outputs:
            return  # opened again since
        self._let_go(name)
        self._closing.pop(name, None)
        self.path(name).unlink(missing_ok=True)

    def _let_go(self, name: Name) -> None:
        """Close our end of a FIFO that the keeper has, and have it closed there."""
        output = self._closing.get(name)
        if output is not None and output.descriptor >= 0:
            os.close(output.descriptor)
            output.descriptor = -1
            self._ask_to_close(name)

    def _open_null(self) -> int:
        if self._null < 0:
            self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        return self._null

    def _close_descriptors(self) -> None:
        for output in (*self._outputs.values(), *self._closing.values()):
            if output is not None and output.descriptor >= 0:
                os.close(output.descriptor)
        self._outputs.clear()
        self._closing.clear()
        self.forget_inherited()
        if self._null >= 0:
            os.close(self._null)
        self._null = -1


def _refusal(name: Name, error: OSError) -> SpawnError:
    message = f"{name}: output cannot be captured: {error.strerror}"
    return SpawnError("output", message, is_permanent=False)


def _size(file: str) -> int:
    try:
        return os.stat(file, follow_symlinks=False).st_size  # noqa: PTH116 - a string, at every start
    except OSError:
        return 0
