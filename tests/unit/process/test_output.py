"""FIFOs and their descriptors, before there is a keeper to empty them."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.outputs import Captured

from virtsupd.core.names import Name
from virtsupd.core.spec import LogSpec
from virtsupd.errors import SpawnError
from virtsupd.process import output

WEB = Name("web/2")
LOG = LogSpec("/nowhere/web.log")


@pytest.fixture
def outputs(tmp_path: Path) -> Iterator[Captured]:
    outputs = Captured(tmp_path)
    (tmp_path / "fifo").mkdir()
    yield outputs
    outputs.leave()


def test_the_fifo_belongs_to_the_services_user(outputs: Captured, tmp_path: Path) -> None:
    fd = outputs.open(WEB, LOG, uid=1234, gid=4321)
    status = (tmp_path / "fifo" / "web%2F2").lstat()
    assert stat.filemode(status.st_mode) == "prw-------"
    assert (status.st_uid, status.st_gid) == (1234, 4321)
    assert not os.get_inheritable(fd)


def test_opening_again_returns_the_same_descriptor_made_blocking(outputs: Captured) -> None:
    fd = outputs.open(WEB, LOG, uid=0, gid=0)
    os.set_blocking(fd, False)
    assert outputs.open(WEB, LOG, uid=0, gid=0) == fd
    assert os.get_blocking(fd)


def test_a_mebibyte_waits_without_a_reader(outputs: Captured) -> None:
    fd = outputs.open(WEB, LOG, uid=0, gid=0)
    assert os.write(fd, bytes(1 << 20)) == 1 << 20


def test_without_a_file_output_goes_to_dev_null(outputs: Captured, tmp_path: Path) -> None:
    null = outputs.open(WEB, LogSpec(""), uid=0, gid=0)
    assert os.fstat(null).st_rdev == Path(os.devnull).stat().st_rdev
    assert outputs.open(Name("other"), LogSpec(""), uid=0, gid=0) == null
    fd = outputs.open(WEB, LOG, uid=0, gid=0)
    assert outputs.open(WEB, LogSpec(""), uid=0, gid=0) == null != fd


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("/etc/passwd")])
def test_what_lies_in_the_way_is_replaced(
    outputs: Captured, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "fifo" / "web%2F2")
    outputs.open(WEB, LOG, uid=0, gid=0)
    assert (tmp_path / "fifo" / "web%2F2").is_fifo()


def test_a_fifo_that_cannot_be_made_fails_the_start_with_its_stage(
    outputs: Captured, tmp_path: Path
) -> None:
    (tmp_path / "fifo").rmdir()
    with pytest.raises(
        SpawnError, match="web/2: output cannot be captured: No such file"
    ) as caught:
        outputs.open(WEB, LOG, uid=0, gid=0)
    assert (caught.value.stage, caught.value.is_permanent) == ("output", False)


def test_a_service_opened_while_it_is_being_closed_keeps_its_fifo(outputs: Captured) -> None:
    fd = outputs.open(WEB, LOG, uid=0, gid=0)
    outputs.close(WEB)
    assert outputs.open(WEB, LOG, uid=0, gid=0) == fd
    outputs._take(["closed", WEB])
    assert os.write(fd, b"x") == 1


def test_trouble_is_passed_on_once_it_is_ours_and_changed(outputs: Captured) -> None:
    outputs.open(WEB, LOG, uid=0, gid=0)
    for text in ("", "full", ""):
        outputs._take(["trouble", WEB, text])
    outputs._take(["trouble", "somebody", "full"])
    assert outputs.troubles == [(WEB, "full"), (WEB, None)]


def test_closing_ends_a_trouble(outputs: Captured) -> None:
    outputs.open(WEB, LOG, uid=0, gid=0)
    outputs._take(["trouble", WEB, "full"])
    outputs.close(WEB)
    outputs._take(["trouble", WEB, ""])
    assert outputs.troubles == [(WEB, "full")]


def test_warnings_are_kept_once(outputs: Captured) -> None:
    outputs._take_link_warning("no keeper")
    for _ in range(2):
        outputs._take(["warning", "zstd is missing"])
    outputs._take(["of a later version"])
    outputs._take(["drained", "web", "unasked"])
    seen = [outputs.warnings]
    outputs._take_link_warning(None)
    seen.append(outputs.warnings)
    assert seen == [("no keeper", "zstd is missing"), ("zstd is missing",)]


async def test_draining_what_is_not_open_returns(outputs: Captured) -> None:
    await outputs.drained(WEB)


def test_what_waits_in_the_fifo_counts_as_written(outputs: Captured, tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    seen = [outputs.written(WEB)]
    fd = outputs.open(WEB, LogSpec(str(log)), uid=0, gid=0)
    seen.append(outputs.written(WEB))
    os.write(fd, b"last words\n")
    seen.append(outputs.written(WEB))
    log.write_text("earlier\n")
    seen.append(outputs.written(WEB))
    outputs._take(["trouble", WEB, "full"])
    seen.append(outputs.written(WEB))
    assert seen == [0, 0, 11, 19, 8]


def test_a_log_that_grows_all_the_time_is_as_long_as_seen(
    outputs: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = iter(range(100))
    monkeypatch.setattr(output, "_size", lambda _file: next(sizes))
    os.write(outputs.open(WEB, LOG, uid=0, gid=0), b"more\n")
    assert outputs.written(WEB) == 4


def test_a_fifo_goes_on_over_an_exec_with_what_is_in_it(outputs: Captured, tmp_path: Path) -> None:
    fd = outputs.open(WEB, LOG, uid=0, gid=0)
    os.write(fd, b"last words")
    handed = {name: os.dup(number) for name, number in outputs.handed().items()}
    outputs.leave()  # nobody else holds it: without the copy its content were gone
    outputs.inherit(handed)
    again = outputs.open(WEB, LOG, uid=0, gid=0)
    assert again == handed[WEB]
    assert os.read(again, 100) == b"last words"


def test_an_inherited_descriptor_of_something_else_is_closed(
    outputs: Captured, tmp_path: Path
) -> None:
    other, unused = os.open("/", os.O_RDONLY), os.open("/", os.O_RDONLY)
    outputs.inherit({WEB: other, "gone": unused})
    fd = outputs.open(WEB, LOG, uid=0, gid=0)
    assert stat.S_ISFIFO(os.fstat(fd).st_mode)
    outputs.forget_inherited()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(unused)
