"""Facts of this very process, and of none."""

import os

from virtsupd.process.inspect import descendants, inspect_processes

NOBODY = 2**22 + 1
"""Beyond the largest pid that the kernel gives."""


def test_a_living_process_is_described_and_a_vanished_one_left_out() -> None:
    (facts,) = inspect_processes([NOBODY, os.getpid()])
    assert facts.pid == os.getpid()
    assert "pytest" in facts.command
    assert facts.memory_bytes > 1_000_000
    assert facts.cpu_seconds > 0


def test_a_process_without_arguments_is_named_in_brackets() -> None:
    kernel_thread = next(
        (facts for facts in inspect_processes([2]) if facts.memory_bytes == 0), None
    )
    assert kernel_thread is None or kernel_thread.command == "[kthreadd]"


def test_nobody_has_no_descendants() -> None:
    assert descendants(NOBODY) == ()
    assert descendants(os.getpid()) == ()
