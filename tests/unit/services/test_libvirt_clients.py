import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from tests.support.checks import eventually

from virtsupd.process.holders import arguments_of, program_of
from virtsupd.services.libvirt_clients import parsed, table, who
from virtsupd.times import ago

BEGIN = 1795395076.0
PRINTED = f"""
id             : 3
connection_time: 2026-11-23 00:51:16+0000
transport      : unix
readonly       : yes
unix_user_id   : 0
unix_user_name : root
unix_process_id: {os.getpid()}

id             : 5
connection_time: 2026-11-23 00:51:17+0000
transport      : tls
readonly       : no
sock_addr      : 127.0.0.1:53878
tls_x509_dname : O=T,CN=a : b
sasl_user_name : joe

libvirtd:///system?socket=/run/libvirt/libvirt-admin-sock
"""


def test_each_client_has_its_own_facts() -> None:
    local, remote = parsed(PRINTED)
    assert local["unix_user_name"] == "root"
    assert remote["tls_x509_dname"] == "O=T,CN=a : b"
    assert "unix_user_name" not in remote
    assert list(parsed("")) == []
    assert list(parsed(PRINTED.replace("joe", "j\u2028o")))[1]["sasl_user_name"] == "j\u2028o"


def test_a_client_is_known_by_its_process_or_by_what_it_proved() -> None:
    local, remote = parsed(PRINTED)
    me = program_of(os.getpid())
    assert who(local) == f"root, {me} (pid {os.getpid()}); may only look"
    assert who(remote) == "127.0.0.1:53878; O=T,CN=a : b; joe"
    assert who({"unix_process_id": "0"}) == "?, ? (pid 0)"
    assert who({}) == "?"


def has_words(pid: int, words: list[str]) -> bool:
    return arguments_of(pid) == tuple(words)


@pytest.mark.process
def test_virtsupds_own_link_is_told_from_other_programs() -> None:
    waits = [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"]
    shell = ["/bin/sh", "-c", "cat; true", "sh", "virtsupd.libvirtlink"]
    for command, is_link in (([*waits, "virtsupd.libvirtlink"], True), (waits, False)):
        with subprocess.Popen(command, stdin=subprocess.PIPE) as running:
            eventually(partial(has_words, running.pid, command), "its words")
            text = who({"unix_process_id": str(running.pid)})
            assert ("virtsupd itself" in text) is is_link
    with subprocess.Popen(shell, stdin=subprocess.PIPE) as link:
        children = Path(f"/proc/{link.pid}/task/{link.pid}/children")
        eventually(lambda: children.read_text().split(), "a virsh of the link")
        [virsh] = children.read_text().split()
        assert who({"unix_process_id": virsh}).endswith("; virtsupd itself, for its guests")


def test_people_see_one_line_for_each_with_times_as_in_status() -> None:
    lines = table(list(parsed(PRINTED)), BEGIN + 184.0).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ID", "TRANSPORT"],
        ["3", "unix"],
        ["5", "tls"],
    ]
    assert f"  {ago(BEGIN, BEGIN + 184.0)}  " in lines[1]
    assert "  3 min ago, " in lines[1]


def test_a_time_that_is_written_otherwise_is_shown_as_it_is() -> None:
    [_, line] = table([{"id": "1", "connection_time": "noon"}], 0.0).splitlines()
    assert line.split() == ["1", "?", "noon", "?"]
