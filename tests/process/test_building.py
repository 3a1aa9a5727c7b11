"""Building with Guix: its command line, its words, its result; a program of its name stands for it."""

import os
from pathlib import Path

import pytest

from virtsupd.machine.building import BuildError, build, inputs_digest, is_built
from virtsupd.machine.image_report import Report
from virtsupd.machine.image_source import BuiltImage
from virtsupd.process.own_notify import OwnNotify

pytestmark = pytest.mark.process

GUIX = """#!/bin/sh
# As the real one: progress on standard error, the store's path on standard output, the root made by it.
echo "$@" >>"$0.asked"
for word; do case $word in --root=*) root=${word#--root=} ;; esac; done
printf 'substitute: 10%%\\rsubstitute: 100%%\\n' >&2
echo 'building /gnu/store/x-disk-image.drv...' >&2
if [ -e "$0.fails" ]; then
  echo 'guix system: error: unbound variable: hurd' >&2
  exit 1
fi
if [ -e "$0.silent" ]; then exit 0; fi
count=$(wc -l <"$0.asked")
echo "image $count" >"$0.store-$count"
ln -s "$0.store-$count" "$root" || exit 1
echo "$0.store-$count"
"""


class Builds:
    """Where a build happens."""

    def __init__(self, directory: Path) -> None:
        self.guix = directory / "bin/guix"
        self.guix.parent.mkdir()
        self.guix.write_text(GUIX)
        self.guix.chmod(0o755)
        self.os = directory / "hurd.scm"
        self.os.write_text("(operating-system)")
        self.link = directory / "images/childhurd-guix"
        self.link.parent.mkdir()
        self.lines: list[str] = []

    def build(self, size: int | None = None, program: str = "") -> Path:
        source = BuiltImage(str(self.os), "hurd-qcow2", size)
        report = Report(OwnNotify(""), log=self.lines.append)
        return build(source, self.link, program or str(self.guix), report)

    @property
    def roots(self) -> list[Path]:
        return sorted(self.link.parent.glob("childhurd-guix.*"))


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    return Builds(tmp_path)


def test_guix_is_asked_for_the_image_and_its_path_is_the_result(builds: Builds) -> None:
    path = builds.build(size=5 << 30)
    assert path.read_text() == "image 1\n"
    assert is_built(builds.link)
    assert builds.link.resolve() == path.resolve()
    [asked] = builds.guix.with_name("guix.asked").read_text().splitlines()
    [root] = builds.roots
    words = "system image --image-type=hurd-qcow2 --image-size=5368709120"
    assert asked == f"{words} --root={root} {builds.os}"
    assert root.readlink() == path, "the collector's root leads into the store itself"


def test_what_guix_says_is_in_the_log_line_by_line(builds: Builds) -> None:
    builds.build()
    assert builds.lines[1:] == ["substitute: 100%", "building /gnu/store/x-disk-image.drv..."]


def test_a_second_build_takes_the_place_of_the_first_and_lets_it_go(builds: Builds) -> None:
    first = builds.build()
    second = builds.build()
    assert first != second
    assert builds.link.resolve() == second.resolve()
    assert [root.readlink() for root in builds.roots] == [second]


@pytest.mark.parametrize(
    ("flaw", "said"), [("fails", "ended with 1: .*unbound variable"), ("silent", "printed nothing")]
)
def test_a_build_that_fails_leaves_the_one_before(builds: Builds, flaw: str, said: str) -> None:
    first = builds.build()
    builds.guix.with_name(f"guix.{flaw}").touch()
    with pytest.raises(BuildError, match=said):
        builds.build()
    assert builds.link.resolve() == first.resolve()
    assert len(builds.roots) == 1


def test_guix_is_found_in_path(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{builds.guix.parent}:{os.environ['PATH']}")
    assert builds.build(program="guix").exists()


def test_without_guix_it_is_said_what_else_there_is(
    builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BuildError, match=r"there is no guix-none .*set image"):
        builds.build(program="guix-none")


def test_what_a_build_is_made_of_has_a_digest(builds: Builds) -> None:
    def digest(image_type: str = "raw", size: int | None = None) -> str:
        return inputs_digest(BuiltImage(str(builds.os), image_type, size))

    first = digest()
    assert first == digest()
    assert len({first, digest("hurd-qcow2"), digest(size=5)}) == 3
    builds.os.write_text("(operating-system (host-name 5))")
    assert digest() != first
    builds.os.unlink()
    with pytest.raises(BuildError, match="no such file"):
        digest()
