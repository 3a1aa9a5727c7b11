"""Conversations with GNU Shepherd 0.10, captured on its socket: what went out, what came back.

They pin the wire format: our reader takes each of them, our writer gives each back letter by
letter, and wherever virtsupd answers the same thing it answers with the same bytes.
"""

SLEEPER = (
    "(service (version 0) (provides (sleeper slumber)) (requires ()) (respawn? #t)"
    ' (docstring "Sleep for a long time.") (enabled? #t) (running 20195) (conflicts ())'
    " (last-respawns ()) (status-changes ((running . 1795360774) (starting . 1795360774)))"
    " (startup-failures ()) (status running) (one-shot? #f) (transient? #f)"
    " (respawn-limit (5 . 7)) (respawn-delay 0.1))"
)
DEPENDENT = (
    "(service (version 0) (provides (dependent)) (requires (sleeper)) (respawn? #f)"
    ' (docstring "Depends on sleeper.") (enabled? #t) (running 20220) (conflicts ())'
    " (last-respawns ()) (status-changes ((running . 1795360775) (starting . 1795360775)))"
    " (startup-failures ()) (status running) (one-shot? #f) (transient? #f)"
    " (respawn-limit (5 . 7)) (respawn-delay 0.1))"
)


def command(action: str, service: str, arguments: str = "()") -> str:
    """Return a command as the 0.10 client sent it."""
    fields = f"(action {action}) (service {service}) (arguments {arguments})"
    return f'(shepherd-command (version 0) {fields} (directory "/d"))'


def reply(result: str, messages: str = "()", error: str = "#f") -> str:
    """Return a reply as the 0.10 daemon sent it."""
    return f"(reply (version 0) (result {result}) (error {error}) (messages {messages}))"


COMMANDS = {
    "start": command("start", "sleeper"),
    "words": command("poke", "sleeper", r'("a" "b c" "d\"e\\f" "é☃")'),
    "controls": command("poke", "sleeper", r'("tab\there" "nl\nx" "\x01" "\u2028" "-x" "")'),
    "doc of an action": command("doc", "sleeper", '("action" "poke")'),
    "odd service": command("status", "#{foo bar}#"),
    "schedule": command("schedule", "timer", '("at" "23:00" "true")'),
}

REPLIES = {
    "status": reply(f"({SLEEPER})"),
    "start": reply(DEPENDENT, '("Service dependent has been started.")'),
    "start again": reply(SLEEPER, '("Service sleeper is already running.")'),
    "start fails": reply("#f", '("Service bad could not be started.")'),
    "start, requirement fails": reply(
        "#f", '("Service bad could not be started." "Service needbad depends on bad.")'
    ),
    "stop": reply("(sleeper dependent)"),
    "stop stopped": reply("()"),
    "restart": reply(
        "(#t)",
        '("Service sleeper has been started." "Service dependent has been started.")',
    ),
    "enable": reply('("#<unspecified>")', '("Enabled service sleeper.")'),
    "disable": reply('("#<unspecified>")', '("Disabled service sleeper.")'),
    "doc": reply('("#<unspecified>")', '("Sleep for a long time.")'),
    "doc of an action": reply('("#<unspecified>")', '("poke: Poke the service with words.")'),
    "action false": reply("(#f)"),
    "no such service": reply("#f", error="(error (version 0) service-not-found nosuch)"),
    "no such string": reply("#f", error='(error (version 0) service-not-found "sleeper")'),
    "no such action": reply("#f", error="(error (version 0) action-not-found frob sleeper)"),
    "no such action to describe": reply(
        "#f", error='(error (version 0) action-not-found "nope" sleeper)'
    ),
    "exception": reply(
        "#f",
        error="(error (version 0) action-exception boom sleeper misc-error"
        ' (#f "~A ~S ~S" ("kaboom" 42 x) #f))',
    ),
    "other error": reply("#f", error="(error (version 0) service-error)"),
}
