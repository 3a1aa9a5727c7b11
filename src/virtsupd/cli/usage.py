"""What `-h` prints, made from the table of verbs."""

from virtsupd.cli.verbs import ACTION, GLOBAL_OPTIONS, VERBS, Option, Verb

EXIT_STATUS = (
    (0, "done"),
    (1, "it failed"),
    (2, "the command line or the configuration is wrong"),
    (3, "status NAME: not running"),
    (4, "no such service or action"),
    (5, "not permitted"),
    (6, "cannot reach virtsupd"),
    (7, "timed out"),
    (130, "interrupted while waiting; the command stays in force"),
    (141, "the reader of the output went away"),
)


def overview() -> str:
    """Return the help of virtsupctl as a whole."""
    verbs = [verb for verb in VERBS if not verb.is_hidden]
    return "\n".join(
        [
            "virtsupctl controls virtsupd, the supervisor of this virtualization host.",
            "",
            "usage: virtsupctl [OPTION…] VERB [NAME…]",
            "       virtsupctl [OPTION…] ACTION NAME [ARG…]",
            "",
            "verbs (without one: status):",
            *_columns([(_signature(verb), verb.summary) for verb in [*verbs, ACTION]]),
            "",
            "options:",
            *_options(GLOBAL_OPTIONS),
            "",
            "exit status:",
            *_columns([(str(code), meaning) for code, meaning in EXIT_STATUS]),
            "",
            "A NAME behind a verb can be a pattern: 'child*'.",
            "virtsupctl VERB -h explains a verb; the manual page is virtsupctl(1).",
        ]
    )


def of_verb(verb: Verb) -> str:
    """Return the help of one verb."""
    lines = [f"usage: virtsupctl [OPTION…] {_signature(verb)}", "", _sentence(verb.summary)]
    if verb.text:
        lines.append(verb.text)
    if verb.options:
        lines += ["", f"options of {verb.name}:", *_options(verb.options)]
    lines += ["", "options of every verb:", *_options(GLOBAL_OPTIONS)]
    return "\n".join(lines)


def short() -> str:
    """Return the two usage lines that follow a mistake."""
    return "usage: virtsupctl [OPTION…] VERB [NAME…]; virtsupctl --help lists the verbs"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _signature(verb: Verb) -> str:
    return f"{verb.name} {verb.operands}".rstrip()


def _options(options: tuple[Option, ...]) -> list[str]:
    return _columns([(_spelling(option), option.help) for option in options])


def _spelling(option: Option) -> str:
    short = f"{option.short}, " if option.short else "    "
    return f"{short}{option.name} {option.metavar}".rstrip()


def _columns(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(left) for left, _ in rows)
    return [f"  {left:<{width}}  {right}" for left, right in rows]
