"""What is found under the name of an entry, and who may change it."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.binfmt_settings import plain_table, registration

from virtsupd.binfmt.entering import Entering, Standing, Wanted
from virtsupd.binfmt.entries import BinfmtError, Entry, Instance
from virtsupd.binfmt.ownership import Owned, Record, RecordFile
from virtsupd.binfmt.platforms import lookup_qemu_platforms

ARM = registration("arm")
FILE = (1, 2, 3)
WANTED = Wanted(lookup_qemu_platforms("arm")[0], ARM, FILE)
BEGUN = 10**18
MADE = Entry("qemu-arm", (5, 6), True, ARM.interpreter, "PF", 0, ARM.magic, ARM.mask, changed=BEGUN)
OFF = replace(MADE, is_enabled=False)
OURS = Owned(ARM, FILE, (5, 6), BEGUN)


def work(tmp_path: Path, *owned: Owned) -> Entering:
    table = Path(plain_table(tmp_path / "table", "arm", "sh4"))
    record = Record(0, {one.registration.name: one for one in owned})
    return Entering(Instance(table), RecordFile(tmp_path / "record.json", table), record)


@pytest.mark.parametrize(
    ("owned", "entry", "standing"),
    [
        ([], None, Standing.ABSENT),
        ([OURS], None, Standing.ABSENT),
        ([OURS], MADE, Standing.OURS),
        ([replace(OURS, identity=None)], MADE, Standing.OURS),
        ([replace(OURS, identity=None)], replace(MADE, changed=MADE.changed - 1), Standing.EQUAL),
        ([replace(OURS, identity=None)], replace(MADE, changed=BEGUN + 10**10), Standing.EQUAL),
        ([OURS], OFF, Standing.OFF),
        ([replace(OURS, file=(1, 2, 4))], OFF, Standing.OFF),
        ([replace(OURS, file=(1, 2, 4))], MADE, Standing.OLD),
        (
            [replace(OURS, registration=replace(ARM, flags="F"))],
            replace(MADE, flags="F"),
            Standing.OLD,
        ),
        ([], MADE, Standing.EQUAL),
        ([replace(OURS, identity=(5, 7))], MADE, Standing.EQUAL),
        ([], OFF, Standing.FOREIGN),
        ([], replace(MADE, interpreter="/bin/other"), Standing.FOREIGN),
        ([OURS], replace(MADE, interpreter="/bin/other"), Standing.FOREIGN),
        ([replace(OURS, identity=None)], replace(MADE, flags="F"), Standing.FOREIGN),
    ],
)
def test_what_is_found_is_told_apart(
    tmp_path: Path, owned: list[Owned], entry: Entry | None, standing: Standing
) -> None:
    found = work(tmp_path, *owned).standing(WANTED, entry)
    assert found is standing


def test_an_entry_of_others_is_neither_changed_nor_dropped(tmp_path: Path) -> None:
    entering = work(tmp_path, replace(OURS, identity=(5, 7)))
    entry = tmp_path / "table/qemu-arm"
    before = entry.read_text()
    with pytest.raises(BinfmtError, match="registered by somebody else"):
        entering.see_to(replace(WANTED, registration=replace(ARM, flags="F")))
    entering.drop("qemu-arm", "qemu-sh4")
    assert entry.read_text() == before
    assert entering.record.entries == {}


def test_what_was_begun_is_written_down_as_made(tmp_path: Path) -> None:
    entering = work(tmp_path, replace(OURS, identity=None, begun=time.time_ns() - 10**9))
    assert not entering.see_to(WANTED)
    made = (tmp_path / "table/qemu-arm").stat()
    assert entering.record.entries["qemu-arm"].identity == (made.st_dev, made.st_ino)


def test_what_a_renewal_that_died_has_left_goes_with_the_entry_and_not_where_it_alone_serves(
    tmp_path: Path,
) -> None:
    spare = tmp_path / "table/qemu-arm.new"
    entering = work(tmp_path)
    spare.write_text((tmp_path / "table/qemu-arm").read_text())
    status = spare.stat()
    spare_of_ours = Owned(replace(ARM, name=spare.name), FILE, (status.st_dev, status.st_ino))
    (tmp_path / "table/qemu-arm").rename(tmp_path / "kept")
    entering.record.entries[spare.name] = spare_of_ours
    entering.drop_spares()
    assert spare.name in entering.record.entries
    (tmp_path / "kept").rename(tmp_path / "table/qemu-arm")
    entering.drop_spares()
    assert spare.name not in entering.record.entries
    assert spare.read_text().startswith("-1")
    spare.write_text((tmp_path / "table/qemu-arm").read_text())
    entering.record.entries[spare.name] = spare_of_ours
    entering.drop("qemu-arm")
    assert spare.read_text().startswith("-1")
