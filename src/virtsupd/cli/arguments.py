"""The reader of virtsupctl's command line.

It is written by hand because argparse alone would cost a sixth of the time `virtsupctl status` may
take, and because a service's own actions take their arguments as they are.
"""

from __future__ import annotations

from virtsupd.cli.verbs import ACTION, GLOBAL_OPTIONS, VERB_BY_NAME, VERBS, Option, Verb
from virtsupd.errors import VirtsupdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class UsageError(VirtsupdError):
    """The command line is not one; `verb` tells whose help would explain."""

    code = "usage"

    def __init__(self, message: str, verb: str = "") -> None:
        super().__init__(message)
        self.verb = verb


class Request:
    """One command line, read and checked.

    `names` are the operands; for an action, the service and the action's arguments as written.
    `is_bare`: no verb was written.
    """

    is_bare = False
    action = ""
    socket = ""
    json = False
    timeout: float | None = None
    quiet = False
    verbose = False
    no_color = False
    version = False
    help = False
    processes = False
    guests = False
    force = False
    follow = False
    lines: int | None = None
    dot = False
    state = "running"
    seconds: float | None = None
    all = False
    restart = False
    once: tuple[str, ...] = ()

    def __init__(self, verb: Verb, names: Sequence[str]) -> None:
        self.verb = verb
        self.names = list(names)


class _Reader:
    """One pass over the words: operands, and the options with their values."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)
        self.operands: list[str] = []
        self.given: list[tuple[Option, object]] = []
        self._read()

    def _read(self) -> None:
        while self._words:
            word = self._words.pop(0)
            if word == "--" or self._is_verbatim():
                self.operands += ([] if word == "--" else [word]) + self._words
                return
            if word.startswith("--"):
                self._read_long(word)
            elif word.startswith("-") and word != "-":
                self._read_short(word)
            else:
                self.operands.append(word)

    def _is_verbatim(self) -> bool:
        """Whether an action and its service have been read: what follows is the action's own."""
        return len(self.operands) == 2 and self.operands[0] not in VERB_BY_NAME

    def _read_long(self, word: str) -> None:
        name, has_value, value = word.partition("=")
        option = self._find(name)
        if not option.metavar:
            if has_value:
                raise UsageError(f"{name} takes no value", self._verb)
            self.given.append((option, True))
        else:
            self._take(option, value if has_value else None)

    def _read_short(self, word: str) -> None:
        rest = word[1:]
        while rest:
            option = self._find(f"-{rest[0]}")
            rest = rest[1:]
            if option.metavar:
                self._take(option, rest or None)
                return
            self.given.append((option, True))

    def _take(self, option: Option, value: str | None) -> None:
        if value is None:
            if not self._words:
                raise UsageError(f"{option.name} needs a value: {option.metavar}", self._verb)
            value = self._words.pop(0)
        try:
            self.given.append((option, option.parse(value)))
        except ValueError as error:
            raise UsageError(f"{option.name}: {error}", self._verb) from error

    def _find(self, name: str) -> Option:
        for option in _OPTIONS:
            if name in (option.name, option.short):
                return option
        raise UsageError(f"there is no option {name}{self._similar(name)}", self._verb)

    def _similar(self, name: str) -> str:
        """Return a question about the option of this verb that may have been meant, or ""."""
        verb = self._verb or next((word for word in self._words if word in VERB_BY_NAME), "status")
        options = (*GLOBAL_OPTIONS, *VERB_BY_NAME[verb].options)
        bare = [option.name.removeprefix("--") for option in options]
        found = nearest(name.lstrip("-"), bare)
        return f"; did you mean --{found}?" if found else ""

    @property
    def _verb(self) -> str:
        return self.operands[0] if self.operands and self.operands[0] in VERB_BY_NAME else ""


_OPTIONS = tuple(
    dict.fromkeys([*GLOBAL_OPTIONS, *(option for verb in VERBS for option in verb.options)])
)


_NEAR = 0.7
"""How similar words must be, 0 to 1, for one to be offered for the other: a letter or two apart."""


def nearest(word: str, words: Sequence[str]) -> str:
    """Return the most similar of `words`, or "" when none is similar."""
    from difflib import get_close_matches  # noqa: PLC0415  only a mistake needs it

    return next(iter(get_close_matches(word, words, n=1, cutoff=_NEAR)), "")


def nearest_verb(word: str) -> str:
    """Return the verb somebody may have meant, or ""."""
    return nearest(word, [verb.name for verb in VERBS if not verb.is_hidden])


def parse(words: Sequence[str]) -> Request:
    """Read a command line without the program's name. No words at all mean `status`.

    Raises:
        UsageError: it is not a command line; the message says what is allowed.
    """
    reader = _Reader(words)
    word, names = (reader.operands or ["status"])[0], reader.operands[1:]
    request = Request(VERB_BY_NAME.get(word, ACTION), names)
    request.is_bare = not reader.operands
    if request.verb is ACTION:
        request.action = word
    for option, value in reader.given:
        _check_allowed(option, request.verb)
        given = (*getattr(request, option.field), value) if option.is_repeated else value
        setattr(request, option.field, given)
    if not (request.help or request.version):
        _check_count(request)
    return request


def _check_allowed(option: Option, verb: Verb) -> None:
    if option not in GLOBAL_OPTIONS and option not in verb.options:
        raise UsageError(f"{verb.name} does not take {option.name}", verb.name)


def _check_count(request: Request) -> None:
    verb, count = request.verb, len(request.names)
    if verb is ACTION and not count:
        found = nearest_verb(request.action)
        service = f"if it is a service: virtsupctl status {request.action}"
        hint = f"did you mean {found}?" if found else service
        raise UsageError(f"there is no verb {request.action!r}; {hint}")
    if count < verb.fewest:
        raise UsageError(f"{verb.name} needs {_needs(verb)}", verb.name)
    if verb.most is not None and count > verb.most:
        raise UsageError(f"{verb.name} does not take {request.names[verb.most]!r}", verb.name)


def _needs(verb: Verb) -> str:
    return "a shell: bash, zsh or fish" if verb.completes == "shells" else "the name of a service"
