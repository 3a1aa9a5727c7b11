"""The verb `completion`: a script for a shell, made from the table of verbs.

The scripts hold all verbs and options; only for names of services they ask
`virtsupctl complete-names`, which is silent when virtsupd cannot be reached.
"""

from __future__ import annotations

from virtsupd.cli.arguments import UsageError
from virtsupd.cli.verbs import GLOBAL_OPTIONS, VERBS, Option, Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsupd.cli.session import Session

SHELLS = ("bash", "zsh", "fish")

_SHOWN = tuple(verb for verb in VERBS if not verb.is_hidden)


def run(session: Session) -> int:
    """Print the script of the shell that is asked for and return 0.

    Raises:
        UsageError: there is none for this shell.
    """
    shell = session.request.names[0]
    if shell not in SHELLS:
        raise UsageError(f"there is no completion for {shell!r}: bash, zsh or fish")
    print({"bash": bash, "zsh": zsh, "fish": fish}[shell](), end="", file=session.out)
    return 0


def _operands(verb: Verb, names: str) -> str:
    """Return the words an operand of `verb` can be; `names` is how the shell asks for services."""
    return {
        "services": names,
        "shells": " ".join(SHELLS),
        "verbs": " ".join(one.name for one in _SHOWN),
    }.get(verb.completes, "")


def _spellings(options: tuple[Option, ...]) -> str:
    return " ".join(option.name for option in options)


def bash() -> str:
    """Return the script for bash: `source <(virtsupctl completion bash)`."""
    cases = "\n".join(
        f'    {verb.name}) words="{_operands(verb, "$(_virtsupctl_ask complete-names)")}"; '
        f'options="{_spellings(verb.options)}" ;;'
        for verb in _SHOWN
    )
    values = "\n".join(
        f'    {option.name}) COMPREPLY=($(compgen -W "{" ".join(option.values)}" -- "$current")); return ;;'
        for verb in _SHOWN
        for option in verb.options
        if option.values
    )
    return f"""\
# bash completion of virtsupctl; made by: virtsupctl completion bash
_virtsupctl_ask() {{
  virtsupctl ${{_virtsupctl_socket:+--socket "$_virtsupctl_socket"}} "$@" 2>/dev/null
}}

_virtsupctl() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}"
  local verb="" words="" options="" index word _virtsupctl_socket=""
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    word="${{COMP_WORDS[index]}}"
    case "$word" in
      -s|--socket) _virtsupctl_socket="${{COMP_WORDS[++index]}}" ;;
      {_valued("|")}) ((index++)) ;;
      -*) ;;
      *) verb="${{verb:-$word}}" ;;
    esac
  done
  case "$previous" in
    -s|--socket) COMPREPLY=($(compgen -f -- "$current")); return ;;
{values}
    {_valued("|")}) return ;;
  esac
  case "$verb" in
    "") words="{" ".join(verb.name for verb in _SHOWN)}" ;;
{cases}
    *) words="$(_virtsupctl_ask complete-names)" ;;
  esac
  if [[ "$current" == -* ]]; then
    words="{_spellings(GLOBAL_OPTIONS)} $options"
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -F _virtsupctl virtsupctl
"""


def _valued(separator: str) -> str:
    """Return the spellings of the options that take a value, except --socket and those with a list."""
    options = [*GLOBAL_OPTIONS, *(option for verb in _SHOWN for option in verb.options)]
    spellings = [
        spelling
        for option in options
        if option.metavar and option.name != "--socket" and not option.values
        for spelling in (option.short, option.name)
        if spelling
    ]
    return separator.join(dict.fromkeys(spellings))


def zsh() -> str:
    """Return the script for zsh: a file `_virtsupctl` in a directory of $fpath."""
    verbs = "\n".join(f"    {_zsh_word(f'{verb.name}:{verb.summary}')}" for verb in _SHOWN)
    cases = "\n".join(_zsh_case(verb) for verb in _SHOWN)
    options = " ".join(_zsh_option(option) for option in GLOBAL_OPTIONS)
    return f"""\
#compdef virtsupctl
# zsh completion of virtsupctl; made by: virtsupctl completion zsh
_virtsupctl_services() {{
  local -a names
  names=(${{(f)"$(virtsupctl ${{opt_args[--socket]:+--socket ${{opt_args[--socket]}}}} complete-names 2>/dev/null)"}})
  compadd -a names
}}

_virtsupctl() {{
  local context state state_descr line
  typeset -A opt_args
  local -a verbs
  verbs=(
{verbs}
  )
  _arguments -C {options} '1: :->verb' '*:: :->operands'
  case "$state" in
    verb) _describe verb verbs ;;
    operands)
      case "$line[1]" in
{cases}
        *) _virtsupctl_services ;;
      esac ;;
  esac
}}
_virtsupctl "$@"
"""


def _zsh_case(verb: Verb) -> str:
    options = " ".join(_zsh_option(option) for option in verb.options)
    operand = {
        "services": "'*: :_virtsupctl_services'",
        "shells": f"'1: :({' '.join(SHELLS)})'",
        "verbs": f"'1: :({' '.join(one.name for one in _SHOWN)})'",
    }.get(verb.completes, "")
    return f"        {verb.name}) _arguments {options} {operand} ;;"


def _zsh_option(option: Option) -> str:
    if option.values:
        action = f"({' '.join(option.values)})"
    else:
        action = "_files" if option.metavar == "PATH" else " "
    value = f":{option.metavar}:{action}" if option.metavar else ""
    about = option.help.replace("[", "(").replace("]", ")").replace(":", " -")
    return _zsh_word(f"{option.name}[{about}]{value}")


def _zsh_word(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def fish() -> str:
    """Return the script for fish: a file `virtsupctl.fish` in its completions directory."""
    lines = [
        "# fish completion of virtsupctl; made by: virtsupctl completion fish",
        "complete -c virtsupctl -f",
    ]
    lines += [_fish_option(option, "") for option in GLOBAL_OPTIONS]
    for verb in _SHOWN:
        lines.append(
            "complete -c virtsupctl -n __fish_use_subcommand "
            f"-a {verb.name} -d {_fish_word(verb.summary)}"
        )
        seen = f" -n '__fish_seen_subcommand_from {verb.name}'"
        lines += [_fish_option(option, seen) for option in verb.options]
        words = _operands(verb, "(virtsupctl complete-names 2>/dev/null)")
        if words:
            lines.append(f"complete -c virtsupctl{seen} -a '{words}'")
    return "\n".join([*lines, ""])


def _fish_option(option: Option, condition: str) -> str:
    short = f" -s {option.short[1:]}" if option.short else ""
    value = (
        f" -x -a '{' '.join(option.values)}'" if option.values else " -x" if option.metavar else ""
    )
    if option.metavar == "PATH":
        value = " -r -F"
    long = option.name.removeprefix("--")
    return f"complete -c virtsupctl{condition}{short} -l {long}{value} -d {_fish_word(option.help)}"


def _fish_word(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
