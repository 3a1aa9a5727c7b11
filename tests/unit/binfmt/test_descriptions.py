"""Files that describe entries, found and read without trust."""

import os
from pathlib import Path

from virtsupd.binfmt.descriptions import described

LINE = r":qemu-arm:M::\x7fELF:\xff\xff\xff\xff:/usr/bin/qemu-arm:F"


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_lines_for_the_kernel_name_an_entry_and_its_interpreter(tmp_path: Path) -> None:
    put(
        tmp_path,
        "usr/lib/binfmt.d/a.conf",
        f"# :x:\n; y\n\n  {LINE}\n,wine,M,,MZ,,/usr/bin/wine,\n",
    )
    file = "/usr/lib/binfmt.d/a.conf"
    assert described(tmp_path) == {
        "qemu-arm": ((file, "/usr/bin/qemu-arm"),),
        "wine": ((file, "/usr/bin/wine"),),
    }


def test_a_file_hides_those_of_its_name_in_later_directories(tmp_path: Path) -> None:
    for directory in ("usr/lib", "etc", "run"):
        put(tmp_path, f"{directory}/binfmt.d/a.conf", LINE.replace("/usr", f"/{directory}"))
    assert described(tmp_path)["qemu-arm"] == (("/etc/binfmt.d/a.conf", "/etc/bin/qemu-arm"),)


def test_a_link_to_nothing_switches_a_file_off(tmp_path: Path) -> None:
    put(tmp_path, "usr/lib/binfmt.d/a.conf", LINE)
    (tmp_path / "etc/binfmt.d").mkdir(parents=True)
    (tmp_path / "etc/binfmt.d/a.conf").symlink_to("/dev/null")
    assert described(tmp_path) == {}


def test_binfmt_support_has_a_file_for_each_entry(tmp_path: Path) -> None:
    text = "qemu-user-static\nmagic\n0\n\\x7fELF\n\\xff\n/usr/bin/qemu-arm-static\n\nyes\n"
    put(tmp_path, "var/lib/binfmts/qemu-arm", text)
    put(tmp_path, "var/lib/binfmts/short", "x\n")
    assert described(tmp_path) == {
        "qemu-arm": (("/var/lib/binfmts/qemu-arm", "/usr/bin/qemu-arm-static"),)
    }


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "etc/binfmt.d/dir.conf").mkdir(parents=True)
    os.mkfifo(tmp_path / "etc/binfmt.d/fifo.conf")
    put(tmp_path, "etc/binfmt.d/short.conf", ":a:b\n:\n")
    put(tmp_path, "etc/binfmt.d/a.txt", LINE)
    assert described(tmp_path) == {}
