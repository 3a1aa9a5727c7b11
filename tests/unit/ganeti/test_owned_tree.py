"""What is wanted is made, what is no longer wanted goes, and what is somebody else's stays."""

import os

import pytest
from tests.support.ganeti import Etc, tree_of

from virtsupd.ganeti import GanetiOs, GanetiOsVariant, debootstrap_os, debootstrap_variant
from virtsupd.ganeti.owned_tree import InTheWayError
from virtsupd.process.files import UnsafeDirectoryError

LIST = "instance-custom/variants.list"
FOO = "instance-custom/variants/foo.conf"


def custom(**texts: str) -> GanetiOs:
    variants = tuple(GanetiOsVariant(name, text) for name, text in texts.items())
    return GanetiOs("custom", ".conf", variants)


def test_the_files_are_there_and_go_again_without_a_trace(etc: Etc) -> None:
    etc.ganeti.mkdir()
    etc.configure(custom(foo="this is fine"), paths=("/srv/a",))
    assert tree_of(etc.ganeti) == {
        "file-storage-paths": (0o644, "/srv/a\n"),
        "instance-custom": (0o755, ""),
        LIST: (0o644, "foo\n"),
        "instance-custom/variants": (0o755, ""),
        FOO: (0o600, "this is fine"),
        "instance-custom/variants/variants.list": (0o644, "foo\n"),
    }
    assert etc.remove() == []
    assert tree_of(etc.root) == {"ganeti": (0o755, ""), "state": (0o700, "")}


def test_a_directory_that_we_made_goes_with_the_last_file(etc: Etc) -> None:
    etc.configure(debootstrap_os([debootstrap_variant("lab")]))
    assert etc.ganeti.exists()
    etc.remove()
    assert not etc.ganeti.exists()


def test_what_is_as_it_is_to_be_is_not_touched(etc: Etc) -> None:
    etc.configure(custom(foo="a"))
    before = (etc.ganeti / FOO).stat()
    assert etc.configure(custom(foo="a")) == []
    assert (etc.ganeti / FOO).stat() == before


def test_a_change_changes_its_file_and_takes_away_what_is_no_longer_wanted(etc: Etc) -> None:
    etc.configure(custom(foo="a", bar="b"))
    said = etc.configure(custom(foo="c"))
    assert f"removed {etc.ganeti}/instance-custom/variants/bar.conf" in said
    assert (etc.ganeti / FOO).read_text() == "c"
    assert (etc.ganeti / LIST).read_text() == "foo\n"
    assert etc.configure() == [f"removed {path}" for path in _gone(etc)]
    assert not etc.ganeti.exists()


def _gone(etc: Etc) -> list[str]:
    base = f"{etc.ganeti}/instance-custom"
    lists = [f"{base}/variants/variants.list", f"{base}/variants.list"]
    return [*lists, f"{base}/variants/foo.conf", f"{base}/variants", base, str(etc.ganeti)]


def test_a_mode_that_somebody_changed_is_set_again(etc: Etc) -> None:
    etc.configure(custom(foo="a"))
    (etc.ganeti / FOO).chmod(0o666)
    etc.configure(custom(foo="a"))
    assert tree_of(etc.ganeti)[FOO] == (0o600, "a")


# Of others


def test_a_file_of_somebody_else_ends_it_before_anything_is_done(etc: Etc) -> None:
    path = etc.put(FOO, "theirs")
    other = etc.put(LIST, "theirs")
    before = tree_of(etc.root)
    with pytest.raises(InTheWayError) as caught:
        etc.configure(custom(foo="ours"))
    assert str(path) in str(caught.value)
    assert str(other) in str(caught.value)
    assert tree_of(etc.ganeti) == {
        name.removeprefix("ganeti/"): one for name, one in before.items() if "/" in name
    }


@pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
def test_what_is_no_file_is_neither_followed_nor_replaced(etc: Etc, kind: str) -> None:
    path = etc.put(FOO, "")
    path.unlink()
    if kind == "link":
        path.symlink_to(etc.root / "target")
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(InTheWayError):
        etc.configure(custom(foo="ours"))
    assert not (etc.root / "target").exists()


def test_a_file_in_place_of_a_directory_ends_it(etc: Etc) -> None:
    etc.put("instance-custom", "theirs")
    with pytest.raises(InTheWayError, match="is no directory"):
        etc.configure(custom(foo="ours"))


def test_a_directory_that_others_can_write_to_ends_it(etc: Etc) -> None:
    etc.ganeti.mkdir()
    etc.ganeti.chmod(0o777)
    with pytest.raises(UnsafeDirectoryError):
        etc.configure(custom(foo="ours"))
    assert tree_of(etc.ganeti) == {}


def test_a_file_that_says_the_same_stays_somebody_elses(etc: Etc) -> None:
    etc.put(FOO, "same").chmod(0o600)
    etc.configure(custom(foo="same"))
    etc.remove()
    assert tree_of(etc.ganeti)[FOO] == (0o600, "same")
    assert LIST not in tree_of(etc.ganeti)


def test_one_that_says_the_same_and_that_others_may_change_is_not_trusted(etc: Etc) -> None:
    etc.put(FOO, "same").chmod(0o666)
    with pytest.raises(InTheWayError, match="another mode"):
        etc.configure(custom(foo="same"))


def test_a_file_that_somebody_changed_since_is_not_overwritten(etc: Etc) -> None:
    etc.configure(custom(foo="a"))
    (etc.ganeti / FOO).write_text("edited")
    with pytest.raises(InTheWayError, match="changed since virtsupd wrote it"):
        etc.configure(custom(foo="b"))
    assert (etc.ganeti / FOO).read_text() == "edited"


def test_nor_is_it_removed_and_it_is_told_once(etc: Etc) -> None:
    etc.configure(custom(foo="a"))
    (etc.ganeti / FOO).write_text("edited")
    (etc.ganeti / "instance-custom/theirs").write_text("")
    assert etc.remove() == [f"left {etc.ganeti / FOO}, which somebody has changed"]
    assert [name for name, (_, text) in tree_of(etc.ganeti).items() if text] == [FOO]
    assert (etc.ganeti / "instance-custom/theirs").exists()
    assert etc.remove() == []


def test_what_somebody_removed_is_no_trouble(etc: Etc) -> None:
    etc.configure(custom(foo="a"))
    (etc.ganeti / FOO).unlink()
    assert etc.remove() == []
    assert not etc.ganeti.exists()


# Of packages


def test_a_packages_file_is_kept_aside_and_put_back(etc: Etc) -> None:
    etc.put(LIST, "default\n", is_packaged=True)
    before = tree_of(etc.ganeti)
    etc.configure(custom(foo="a"))
    assert tree_of(etc.ganeti)[f"{LIST}.virtsupd-saved"] == before[LIST]
    assert (etc.ganeti / LIST).read_text() == "foo\n"
    etc.configure(custom(foo="a", bar="b"))
    assert tree_of(etc.ganeti)[f"{LIST}.virtsupd-saved"] == before[LIST]
    assert etc.remove() == []
    assert tree_of(etc.ganeti) == before


def test_it_is_put_back_also_where_only_its_os_is_gone(etc: Etc) -> None:
    etc.put(LIST, "default\n", is_packaged=True)
    etc.configure(custom(foo="a"))
    assert f"put back {etc.ganeti / LIST}" in etc.configure()


def test_a_packages_file_that_somebody_changed_ends_it(etc: Etc) -> None:
    etc.put(LIST, "default\n", is_packaged=True).write_text("default\nlab\n")
    with pytest.raises(InTheWayError, match="nor as a package brought it"):
        etc.configure(custom(foo="a"))
    assert (etc.ganeti / LIST).read_text() == "default\nlab\n"


def test_what_was_kept_aside_by_somebody_else_is_not_overwritten(etc: Etc) -> None:
    etc.put(LIST, "default\n", is_packaged=True)
    etc.put(f"{LIST}.virtsupd-saved", "precious")
    with pytest.raises(InTheWayError):
        etc.configure(custom(foo="a"))
    assert (etc.ganeti / f"{LIST}.virtsupd-saved").read_text() == "precious"


def test_an_upgraded_package_brings_its_file_again_and_gets_that_back(etc: Etc) -> None:
    etc.put(LIST, "default\n", is_packaged=True)
    etc.configure(custom(foo="a"))
    etc.put(LIST, "default\nnew\n", is_packaged=True)
    etc.configure(custom(foo="a"))
    assert (etc.ganeti / LIST).read_text() == "foo\n"
    etc.remove()
    assert (etc.ganeti / LIST).read_text() == "default\nnew\n"


def test_one_that_was_changed_in_place_of_ours_stays_with_what_was_kept_aside(etc: Etc) -> None:
    etc.put(LIST, "default\n", is_packaged=True)
    etc.configure(custom(foo="a"))
    (etc.ganeti / LIST).write_text("edited\n")
    [said] = etc.remove()
    assert f"{LIST}.virtsupd-saved" in said
    assert (etc.ganeti / LIST).read_text() == "edited\n"
    assert (etc.ganeti / f"{LIST}.virtsupd-saved").read_text() == "default\n"
