"""Signals that come before there is anybody to take them.

A module of its own, and small: virtsupd holds them before it imports anything else.
"""

import signal

_ASKED_FOR = frozenset({signal.SIGHUP, signal.SIGUSR1})
"""Orders to a virtsupd at work, that end a program which does not know them."""


def hold() -> None:
    """Let orders wait until `unblock_signals` or `release`; what ends virtsupd does as before."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ASKED_FOR)


def release() -> None:
    """Take them again; without handlers they end the program."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKED_FOR)
