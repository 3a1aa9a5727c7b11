"""Facts from what QEMU answers, with answers as QEMU 7.2 gives them; a real one is asked in tests/component."""

from collections.abc import Mapping
from typing import Any

from virtsupd.machine.facts import Block, Forward, facts_of
from virtsupd.machine.monitor import MonitorError

USERNET = """Hub -1 (net0):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[HOST_FORWARD]  14       127.0.0.1 10022       10.0.2.15  2222     0     0
  TCP[ESTABLISHED]   20       127.0.0.1 10022       10.0.2.15  2222     0     0
"""
SNAPSHOT = {
    "filename": "/tmp/vl.AB12CD",
    "format": "qcow2",
    "backing-image": {"filename": "/a.img", "format": "raw"},
}
ANSWERS: dict[str, object] = {
    "query-version": {"qemu": {"major": 7, "minor": 2, "micro": 22}},
    "query-status": {"status": "running"},
    "query-kvm": {"enabled": False},
    "query-cpus-fast": [{}, {}],
    "query-memory-size-summary": {"base-memory": 1 << 29},
    "query-block": [
        {"device": "hd0", "inserted": {"ro": False, "image": SNAPSHOT}},
        {"device": "cd0"},
    ],
    "human-monitor-command": USERNET,
    "query-vnc": {"enabled": True, "host": "127.0.0.1", "service": "5900"},
}


class Scripted:
    """A monitor that answers from a table."""

    def __init__(self, answers: Mapping[str, object]) -> None:
        self._answers = answers

    async def execute(self, command: str, *_: object) -> object:
        if command not in self._answers:
            raise MonitorError(f"{command} has not been found")
        return self._answers[command]


async def test_a_machine_is_told_as_it_was_started() -> None:
    monitor: Any = Scripted(ANSWERS)
    facts = await facts_of(monitor)
    assert (facts.state, facts.version, facts.accelerator) == ("running", "7.2.22", "tcg")
    assert (facts.processors, facts.memory_bytes, facts.vnc) == (2, 1 << 29, "127.0.0.1:5900")
    assert facts.blocks == (Block("hd0", "/a.img", "raw", is_read_only=False, is_volatile=True),)
    assert facts.forwards == (Forward("tcp", "127.0.0.1", 10022, 2222),)


async def test_what_a_qemu_is_built_without_is_left_out() -> None:
    without = {"human-monitor-command", "query-vnc"}
    monitor: Any = Scripted({key: value for key, value in ANSWERS.items() if key not in without})
    facts = await facts_of(monitor)
    assert (facts.forwards, facts.vnc) == ((), None)
