"""What the process that holds entries hears of signals; tried in processes of their own."""

import subprocess
import sys

HEARING = """
import os, select, signal, subprocess, sys
from virtsupd.binfmt.hearing import Hearing
hearing = Hearing()
def heard(): return select.select([hearing.stop, hearing.reload], [], [], 0)[0]
"""


def ended(script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", HEARING + script]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=15)


def test_a_stop_is_heard_for_ever_and_kills_nobody() -> None:
    for number in ("TERM", "INT"):
        done = ended(
            f"assert heard() == []; os.kill(os.getpid(), signal.SIG{number})\n"
            "for _ in range(2): assert heard() == [hearing.stop], heard()\n"
            "assert not hearing.was_told_to_reload()"
        )
        assert done.returncode == 0, done.stderr


def test_a_hup_is_no_stop_and_is_heard_once() -> None:
    done = ended(
        "for _ in range(2):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    assert heard() == [hearing.reload]\n"
        "    assert hearing.was_told_to_reload() and not hearing.was_told_to_reload()\n"
        "    assert heard() == []"
    )
    assert done.returncode == 0, done.stderr


def test_a_hup_before_a_term_hides_it_not() -> None:
    done = ended(
        "for number in (signal.SIGHUP, signal.SIGTERM): os.kill(os.getpid(), number)\n"
        "assert heard() == [hearing.stop, hearing.reload]"
    )
    assert done.returncode == 0, done.stderr


def test_programs_that_are_run_do_not_have_the_descriptors() -> None:
    done = ended(
        "listed = subprocess.check_output(['ls', '-l', '/proc/self/fd'], close_fds=False, text=True)\n"
        "assert 'signalfd' in os.readlink(f'/proc/self/fd/{hearing.stop}')\n"
        "assert 'signalfd' not in listed, listed"
    )
    assert done.returncode == 0, done.stderr
