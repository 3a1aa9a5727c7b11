"""Files of another root, from which nothing leads out."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from virtsupd.binfmt.roots import Root, RootError


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "outside").write_text("out")
    (tmp_path / "in/lib").mkdir(parents=True)
    (tmp_path / "in/lib/file").write_text("in")
    with closing(Root(str(tmp_path / "in"))) as found:
        yield found


def test_paths_begin_at_the_root(root: Root) -> None:
    assert not root.is_own
    assert root.has("/lib/file")
    assert root.has("lib/file")
    assert not root.has("/lib/absent")
    assert not root.has("/lib/file/below")


def test_links_and_dots_lead_nowhere_out_of_it(root: Root, tmp_path: Path) -> None:
    inside = tmp_path / "in"
    (inside / "absolute").symlink_to("/lib/file")
    (inside / "up").symlink_to("../outside")
    (inside / "out").symlink_to(tmp_path / "outside")
    (inside / "loop").symlink_to("loop")
    assert root.has("/absolute")
    assert root.has("/../lib/file")
    assert not root.has("/up")
    assert not root.has("/out")
    assert not root.has("/loop")


def test_the_own_root_is_known() -> None:
    with closing(Root("/proc/self/root")) as own:
        assert own.is_own
        assert own.has("/proc/self")
        assert not own.has("/no/such/file")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("relative", "no absolute path"),
        ("/no/such", "no such file"),
        ("/dev/null", "not a directory"),
    ],
)
def test_what_is_no_directory_is_refused(path: str, why: str) -> None:
    with pytest.raises(RootError, match=why):
        Root(path)
