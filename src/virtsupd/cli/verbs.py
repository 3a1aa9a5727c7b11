"""The table of verbs and options of virtsupctl.

Parsing, `-h`, the completion scripts and a test of the manual page all read it.
"""

from __future__ import annotations

from virtsupd.times import parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _parse_count(text: str) -> int:
    """Return a count of lines, 0 to 10,000: virtsupd gives no more at once."""
    if not text.isascii() or not text.isdigit() or int(text) > 10_000:
        raise ValueError(f"{text!r} is not a number from 0 to 10000")
    return int(text)


def _parse_state(text: str) -> str:
    """Return a state that can be waited for."""
    if text not in ("running", "stopped"):
        raise ValueError(f"{text!r} is not a state to wait for: running or stopped")
    return text


class Option:
    """One option: `field` of the request it sets, to True or to its parsed value.

    One that `is_repeated` adds its value to the tuple of those before.
    """

    __slots__ = ("field", "help", "is_repeated", "metavar", "name", "parse", "short", "values")

    def __init__(  # noqa: PLR0913  a row of the table below, every column by its name
        self,
        name: str,
        help_text: str,
        *,
        short: str = "",
        field: str = "",
        metavar: str = "",
        parse: Callable[[str], object] = str,
        values: tuple[str, ...] = (),
        is_repeated: bool = False,
    ) -> None:
        self.name = name
        self.short = short
        self.help = help_text
        self.field = field or name.removeprefix("--").replace("-", "_")
        self.metavar = metavar
        self.parse = parse
        self.values = values
        self.is_repeated = is_repeated


class Verb:
    """One verb: what it takes and what it is for.

    `operands` is shown in usage lines; `fewest` and `most` (None: no end) count them. `completes`
    tells the completion scripts what an operand is.
    """

    __slots__ = ("completes", "fewest", "most", "name", "operands", "options", "summary", "text")

    def __init__(  # noqa: PLR0913  a row of the table below, every column by its name
        self,
        name: str,
        operands: str,
        summary: str,
        *,
        text: str = "",
        count: tuple[int, int | None] = (0, None),
        options: tuple[Option, ...] = (),
        completes: str = "services",
    ) -> None:
        self.name = name
        self.operands = operands
        self.fewest, self.most = count
        self.summary = summary
        self.text = text
        self.options = options
        self.completes = completes

    @property
    def is_hidden(self) -> bool:
        """Whether it is there for the completion scripts alone."""
        return not self.summary


GLOBAL_OPTIONS = (
    Option(
        "--socket",
        "control socket (else VIRTSUPD_SOCKET, else /run/virtsupd/control)",
        short="-s",
        metavar="PATH",
    ),
    Option("--json", "print JSON: one document, or one a line for watch and log"),
    Option(
        "--timeout",
        "give up waiting after T; the command itself stays in force",
        short="-t",
        metavar="T",
        parse=parse_duration,
    ),
    Option("--quiet", "print nothing but errors", short="-q"),
    Option("--verbose", "print each step while waiting, also without a terminal", short="-v"),
    Option("--no-color", "no colours (NO_COLOR in the environment does the same)"),
    Option("--version", "print the version and end", short="-V"),
    Option("--help", "explain virtsupctl, or the verb before it", short="-h"),
)

_GUESTS = Option("--guests", "also when virtual machines end with it", short="-g")

_FORCE = Option("--force", "also when guests lose their console logs, or locks, by it")

_ALL = Option("--all", "show unchanged services, too", short="-a")

_ONE_OR_MORE = (1, None)

VERBS = (
    Verb(
        "status",
        "[NAME…]",
        "show all services, or everything about some",
        text="Exit status 3: one of the named services is not running.",
        options=(Option("--processes", "list its processes and their memory", short="-p"),),
    ),
    Verb(
        "why",
        "NAME…",
        "say why services are as they are, down to the cause, and what comes next",
        text="Each cause stands below what it causes, with its last exit and the end of its output.",
        count=_ONE_OR_MORE,
    ),
    Verb(
        "start",
        "NAME…",
        "start services and what they need; wait until they are ready",
        text="What conflicts with them is stopped, unless a guest would end or lose something by it.",
        count=_ONE_OR_MORE,
        options=(
            _GUESTS,
            _FORCE,
            Option(
                "--once",
                "give ARG to this run of one service, behind its command; may be repeated",
                metavar="ARG",
                is_repeated=True,
            ),
        ),
    ),
    Verb(
        "stop",
        "NAME…",
        "stop services and what needs them; wait until they are gone",
        text="What needed them waits, and starts again when they do.",
        count=_ONE_OR_MORE,
        options=(_GUESTS, _FORCE),
    ),
    Verb(
        "restart",
        "NAME…",
        "stop and start services, and what needs them along with them",
        count=_ONE_OR_MORE,
        options=(_GUESTS, _FORCE),
    ),
    Verb(
        "reload",
        "[NAME…]",
        "read the configuration again; with names: let those services reload theirs",
        text="What needs a restart is told, and left to you; plan tells it before.",
        options=(
            Option("--restart", "then restart what needs it, as far as no guest ends"),
            _ALL,
        ),
    ),
    Verb(
        "plan",
        "[COMMAND] [NAME…]",
        "say what reload would do to each service, and why; change nothing",
        text="With start, stop or restart and names: what that command would touch, and whether it "
        "would be refused. Exit status: that of the command.",
        options=(_ALL, _GUESTS, _FORCE),
    ),
    Verb(
        "enable",
        "NAME…",
        "allow services to be started again; forget that they failed",
        count=_ONE_OR_MORE,
    ),
    Verb(
        "disable",
        "NAME…",
        "never start services, also after a reboot; one that runs is left alone",
        count=_ONE_OR_MORE,
    ),
    Verb(
        "trigger",
        "NAME…",
        "run the jobs of timers now; wait until they have been started",
        text="Also of timers that are held. The next firing stays when it is.",
        count=_ONE_OR_MORE,
    ),
    Verb(
        "hold",
        "NAME…",
        "keep timers from firing until they are released",
        text="What would have fired is not made up for. A job under way goes on.",
        count=_ONE_OR_MORE,
        options=(
            Option(
                "--for",
                "only for the time T from now",
                field="seconds",
                metavar="T",
                parse=parse_duration,
            ),
        ),
    ),
    Verb("release", "NAME…", "let timers fire again that are held", count=_ONE_OR_MORE),
    Verb("doc", "NAME…", "say what services are and which actions they have", count=_ONE_OR_MORE),
    Verb("actions", "NAME…", "list the services' own actions", count=_ONE_OR_MORE),
    Verb(
        "log",
        "[NAME…]",
        "print the end of services' output; without names: what changed lately",
        options=(
            Option("--follow", "go on with what is written from now on", short="-f"),
            Option(
                "--lines",
                "lines of the past to begin with (default 20)",
                short="-n",
                metavar="N",
                parse=_parse_count,
            ),
        ),
    ),
    Verb(
        "graph",
        "[NAME…]",
        "draw what needs what, as a tree; with names: only what those need",
        options=(Option("--dot", "print a graph for Graphviz"),),
    ),
    Verb(
        "cat",
        "NAME…",
        "print the definitions in force and where they come from",
        count=_ONE_OR_MORE,
    ),
    Verb(
        "wait",
        "NAME…",
        "wait until services are running",
        text="Nothing is started by it.",
        count=_ONE_OR_MORE,
        options=(
            Option(
                "--state",
                "running (default) or stopped",
                metavar="STATE",
                parse=_parse_state,
                values=("running", "stopped"),
            ),
        ),
    ),
    Verb(
        "watch",
        "[NAME…]",
        "print each change as it happens",
        text="With --json what changed of a service, with --verbose too all that is known of it.",
    ),
    Verb(
        "shutdown",
        "",
        "stop everything in order, guests first, and end virtsupd",
        text="This is what the host's init system calls when the machine goes down.",
        count=(0, 0),
        completes="",
    ),
    Verb(
        "quit",
        "",
        "end virtsupd alone; every service runs on",
        text="The next virtsupd takes them over.",
        count=(0, 0),
        completes="",
    ),
    Verb(
        "reexec",
        "",
        "let virtsupd become its new version, with every service and socket kept",
        text="The new program is asked first whether it fits; if it does not, nothing changes.",
        count=(0, 0),
        completes="",
    ),
    Verb(
        "completion",
        "SHELL",
        "print the completion script for bash, zsh or fish",
        count=(1, 1),
        completes="shells",
    ),
    Verb("help", "[VERB]", "explain virtsupctl, or one verb", count=(0, 1), completes="verbs"),
    Verb("complete-names", "", "", count=(0, 0)),
    Verb("complete-actions", "NAME", "", count=(0, 1)),
)

VERB_BY_NAME = {verb.name: verb for verb in VERBS}

ACTION = Verb("ACTION", "NAME [ARG…]", "carry out a service's own action", count=_ONE_OR_MORE)
"""What a first word that is no verb stands for."""
