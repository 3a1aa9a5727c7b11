"""Words with a meaning of their own: signals, resource limits, capabilities, verbs of the clients."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from virtsupd.core.exits import signal_name

_LIMIT_WORDS = """
as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack
"""
_CAPABILITY_WORDS = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
PERFMON BPF CHECKPOINT_RESTORE
"""
_VERB_WORDS = """
status start stop restart reload enable disable doc actions log why graph plan cat trigger hold release wait
watch shutdown quit reexec completion complete-names complete-actions help detailed-status
"""

SIGNALS: Final = frozenset(signal_name(number) for number in range(1, 32))
"""With SIG: "SIGTERM"."""
LIMITS: Final = frozenset(_LIMIT_WORDS.split())
"""Names of setrlimit(2), lower case, without RLIMIT_."""
CAPABILITIES: Final = frozenset(f"CAP_{word}" for word in _CAPABILITY_WORDS.split())
"""With CAP_: "CAP_NET_ADMIN"."""

VERBS: Final = frozenset(_VERB_WORDS.split())
"""What virtsupctl and herd take for a verb of their own, so that no action can be called so."""


def require_known(word: str, known: Iterable[str], allowed: str, *, prefix: str = "") -> str:
    """Return `word`.

    Raises:
        ValueError: it is not `known`; the message is `allowed` and the nearest known word, where
            `prefix`, which all of them share, makes no two words alike.
    """
    if word not in known:
        distinct = [item.removeprefix(prefix) for item in known]
        nearest = get_close_matches(word.removeprefix(prefix), distinct, n=1)
        hint = f"; did you mean {prefix}{nearest[0]}?" if nearest else ""
        raise ValueError(f"{allowed}{hint}")
    return word
