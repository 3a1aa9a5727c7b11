"""The file that a guest's writes go to, where it cannot be made: nothing is left of it."""

import os
import pwd
from pathlib import Path

import pytest

from virtsupd.machine.image_record import Record, note, read_record
from virtsupd.machine.image_settings import Settings
from virtsupd.machine.image_source import ImageError
from virtsupd.machine.image_state import lay

pytestmark = pytest.mark.process

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.parametrize(
    ("line", "said"),
    [("echo no room >&2; exit 1", "cannot make .*: no room"), (None, "cannot run .*qemu-img")],
)
def test_a_failure_is_told_and_leaves_nothing(tmp_path: Path, line: str | None, said: str) -> None:
    program = tmp_path / "qemu-img"
    if line is not None:
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
    base, state = tmp_path / "hurd.img", tmp_path / "hurd-state.qcow2"
    base.write_bytes(bytes(512))
    settings = Settings("hurd", str(tmp_path), user=ME, qemu_img=str(program))
    with pytest.raises(ImageError, match=said):
        lay(state, base, settings)
    assert not state.exists()
    assert not state.with_name("hurd-state.qcow2.new").exists()


def test_it_is_laid_on_what_a_link_leads_to_and_remembers_the_image(tmp_path: Path) -> None:
    """A system that is built anew gets the same name, and has other blocks."""
    program = tmp_path / "qemu-img"
    program.write_text('#!/bin/sh\nfor last; do :; done\necho "$*" >"$last"\n')
    program.chmod(0o755)
    built = tmp_path / "store/image.qcow2"
    built.parent.mkdir()
    built.write_bytes(b"QFI\xfb")
    base, state = tmp_path / "hurd-guix", tmp_path / "hurd-state.qcow2"
    base.symlink_to(built)
    note(Record.now(base, "hurd.scm", "sha256:1", "", 5.0), base)
    lay(state, base, Settings("hurd", str(tmp_path), user=ME, qemu_img=str(program)))
    asked = state.read_text()
    assert f"create -q -f qcow2 -F qcow2 -b {built} " in asked
    assert state.stat().st_mode & 0o777 == 0o600
    record = read_record(state)
    assert record is not None
    assert record.checksum == "sha256:1"
