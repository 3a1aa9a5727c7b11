"""Interactive actions: virtsupctl runs them, with the terminal, the rights and the exit status of whoever asks."""

import os
import pty
import subprocess

import pytest
from tests.support.checks import eventually
from tests.support.daemon import CLIENT, Daemon, shell, virtsupd

from virtsupd.errors import ActionError

SERVICE = f"""
[service.web]
command = ["sleep", "infinity"]
[service.web.actions.look]
description = "look around"
interactive = true
command = {shell('printf "<%s>" "$@"; test -t 0 && echo on a terminal; read word; echo "got $word"; exit 42')}
[service.web.actions.gone]
interactive = true
command = ["/nonexistent/program"]
"""


def _command(daemon: Daemon, *words: str) -> list[str]:
    return [*CLIENT, "--socket", str(daemon.host.socket), *words]


def test_it_has_the_terminal_and_its_exit_status_is_that_of_virtsupctl() -> None:
    with virtsupd(SERVICE) as daemon:
        pid, terminal = pty.fork()
        if pid == 0:
            command = _command(daemon, "look", "web", "shell", "--all", "a b")
            os.execvp(command[0], command)
        said = bytearray()

        def has_said(text: bytes) -> bool:
            said.extend(os.read(terminal, 4096))
            return text in said

        eventually(lambda: has_said(b"on a terminal"), "that it has the terminal")
        os.write(terminal, b"hello\n")
        eventually(lambda: has_said(b"got hello"), "what was typed")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
        os.close(terminal)
        assert b"<--all><a b>" in said


def test_it_takes_a_pipe_too_and_may_be_ended_by_one() -> None:
    with virtsupd(SERVICE) as daemon:
        done = subprocess.run(
            _command(daemon, "look", "web", "shell"), input=b"x\n", capture_output=True, check=False
        )
        assert (done.returncode, done.stdout) == (42, b"<>got x\n")


def test_what_cannot_be_run_is_told() -> None:
    with virtsupd(SERVICE) as daemon:
        found = daemon.ctl("gone", "web", expect=1).stderr
        assert found == (
            "virtsupctl: cannot run gone of web: /nonexistent/program: no such file or directory\n"
        )


def test_who_has_no_terminal_to_offer_is_told_what_has_one() -> None:
    with virtsupd(SERVICE) as daemon, pytest.raises(ActionError) as refused:
        daemon.call("Act", name="web", action="look")
    assert str(refused.value) == "look needs a terminal: virtsupctl look web"
