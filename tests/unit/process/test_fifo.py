"""FIFOs of outputs by themselves; what `Outputs` makes of them is in test_output."""

import os
from pathlib import Path

import pytest

from virtsupd.process.fifo import PIPE_BYTES, checked, open_fifo, waiting_bytes


def test_what_waits_is_counted_up_to_a_mebibyte(tmp_path: Path) -> None:
    fifo = open_fifo(tmp_path / "web")
    assert waiting_bytes(fifo) == 0
    assert os.write(fifo, bytes(PIPE_BYTES)) == PIPE_BYTES
    assert waiting_bytes(fifo) == PIPE_BYTES
    os.close(fifo)


def test_a_descriptor_is_kept_only_if_it_is_of_the_fifo_at_the_path(tmp_path: Path) -> None:
    fifo = open_fifo(tmp_path / "web")
    assert checked(None, tmp_path / "web") is None
    assert checked(fifo, tmp_path / "web") == fifo
    (tmp_path / "web").unlink()
    assert checked(fifo, tmp_path / "web") is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fifo)
