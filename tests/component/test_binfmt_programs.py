"""Real programs of other platforms, from compilers and with the C library, on registered entries."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import foreign
from tests.support.binfmt import Kernel, private_kernel
from tests.support.binfmt_settings import registration

from virtsupd.binfmt.entries import Registration
from virtsupd.binfmt.platforms import ByteSet, lookup_qemu_platforms
from virtsupd.binfmt.proof import ENDS_WITH, program

pytestmark = [pytest.mark.component, pytest.mark.timeout(120)]

UNPRIVILEGED = ("unshare", "--user", "--map-user=1000", "--")
USERS = pytest.mark.parametrize("user", [(), UNPRIVILEGED], ids=["root", "unprivileged"])
PLATFORMS = pytest.mark.parametrize("platform", foreign.TARGETS)
MIPS = ("mips", "mipsel", "mipsn32", "mipsn32el", "mips64", "mips64el")
EXECUTE = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
"""A shell would read what the kernel does not execute as a script."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the tests one directory for what is compiled."""
    return tmp_path_factory.mktemp("foreign")


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """Give the tests one table with all five platforms."""
    with private_kernel() as kernel:
        for platform in foreign.TARGETS:
            kernel.register(registration(platform).line)
        yield kernel


@pytest.fixture
def empty() -> Iterator[Kernel]:
    """Give a test a table of its own."""
    with private_kernel() as kernel:
        yield kernel


def register(kernel: Kernel, *names: str, byte_set: ByteSet = "debian", flags: str = "FP") -> None:
    """Enter platforms with Debian's emulators."""
    for one in lookup_qemu_platforms(*names, bytes=byte_set):
        interpreter = f"/usr/bin/qemu-{one.qemu}-static"
        kernel.register(Registration(one.entry, one.magic, one.mask, interpreter, flags).line)


def ended(
    done: subprocess.CompletedProcess[str], platform: str, *lines: str, read: str = ""
) -> None:
    """Assert that the program ran on this platform, printed these words, and what it read."""
    expected = "".join(f"{line}\n" for line in (foreign.TARGETS[platform].machine, *lines))
    assert (done.stdout, done.stderr) == (expected + read, "")
    assert done.returncode == foreign.ENDS_WITH


@PLATFORMS
@USERS
def test_a_static_program_runs_as_if_it_were_the_hosts(
    kernel: Kernel, shop: Path, platform: str, user: tuple[str, ...]
) -> None:
    path = str(foreign.built(shop, platform))
    script = f"printf 'one\\ntwo' | {path} -a 'b c' ''"
    done = kernel.run(*user, "sh", "-c", script, is_ok=False)
    ended(done, platform, path, "-a", "b c", "", read="one\ntwo")


@PLATFORMS
@USERS
def test_a_dynamic_program_runs_in_a_root_of_its_platform(
    kernel: Kernel, shop: Path, platform: str, user: tuple[str, ...]
) -> None:
    root = foreign.root(shop, platform)
    assert not list(root.glob("**/qemu*"))
    enter = ("unshare", f"--root={root}", *user[1:]) if user else ("chroot", str(root))
    ended(kernel.run(*enter, "/foreign", "word", is_ok=False), platform, "/foreign", "word")


@PLATFORMS
def test_it_is_called_as_who_executes_it_says(kernel: Kernel, shop: Path, platform: str) -> None:
    path = str(foreign.built(shop, platform))
    done = kernel.run("bash", "-c", "exec -a another $0 word", path, is_ok=False)
    ended(done, platform, "another", "word")


def test_without_the_flag_p_it_is_called_by_its_path(empty: Kernel, shop: Path) -> None:
    register(empty, "arm", flags="F")
    path = str(foreign.built(shop, "arm"))
    done = empty.run("bash", "-c", "exec -a another $0 word", path, is_ok=False)
    ended(done, "arm", path, "word")


@PLATFORMS
def test_a_script_may_have_a_foreign_interpreter(
    kernel: Kernel, shop: Path, tmp_path: Path, platform: str
) -> None:
    path = foreign.built(shop, platform)
    script = tmp_path / "script"
    script.write_text(f"#!{path} option\n")
    script.chmod(0o755)
    ended(
        kernel.run(str(script), "word", is_ok=False),
        platform,
        str(path),
        "option",
        str(script),
        "word",
    )


def test_programs_of_all_platforms_execute_one_another(kernel: Kernel, shop: Path) -> None:
    programs = [str(foreign.built(shop, platform)) for platform in foreign.TARGETS]
    *runners, last = programs
    words = [word for one in runners for word in (one, "run")]
    done = kernel.run(*words, last, "word", is_ok=False)
    machines = [target.machine for target in foreign.TARGETS.values()]
    assert done.stdout.splitlines() == [*machines, last, "word"]
    assert done.returncode == foreign.ENDS_WITH


@PLATFORMS
@pytest.mark.parametrize("byte_set", ["debian", "guix"])
def test_a_program_marked_for_gnu_is_taken_by_debians_bytes_and_on_s390x_by_no_others(
    empty: Kernel, shop: Path, tmp_path: Path, platform: str, byte_set: ByteSet
) -> None:
    register(empty, platform, byte_set=byte_set)
    path = foreign.marked_for_gnu(foreign.built(shop, platform), tmp_path / "marked")
    done = empty.python("-I", "-c", EXECUTE, str(path), is_ok=False)
    if (platform, byte_set) == ("s390x", "guix"):
        assert "Exec format error" in done.stderr
    else:
        ended(done, platform, str(path))


def test_compilers_mark_ordinary_static_programs_of_s390x_for_gnu(shop: Path) -> None:
    """So the specification's bytes, which take none that is marked, fail where nobody expects it."""
    program = foreign.built(shop, "s390x").read_bytes()
    [debian] = lookup_qemu_platforms("s390x")
    [guix] = lookup_qemu_platforms("s390x", bytes="guix")
    assert (debian.matches(program), guix.matches(program)) == (True, False)


def test_a_file_system_mounted_noexec_counts_for_foreign_programs_too(
    kernel: Kernel, shop: Path, tmp_path: Path
) -> None:
    path = foreign.built(shop, "arm")
    copy = tmp_path / "copy"
    mount = f"mount -t tmpfs -o OPTION none {tmp_path} && cp {path} {copy} && exec {copy}"
    done = kernel.run(
        "unshare", "--mount", "sh", "-c", mount.replace("OPTION", "exec"), is_ok=False
    )
    ended(done, "arm", str(copy))
    done = kernel.run(
        "unshare", "--mount", "sh", "-c", mount.replace("OPTION", "noexec"), is_ok=False
    )
    assert done.stdout == ""
    assert "Permission denied" in done.stderr


def test_one_that_may_be_executed_and_not_read_runs_with_the_flag_o(
    empty: Kernel, shop: Path, tmp_path: Path
) -> None:
    path = str(foreign.copied(foreign.built(shop, "arm"), tmp_path / "unreadable", mode=0o111))
    register(empty, "arm", flags="FP")
    refused = empty.run(*UNPRIVILEGED, path, is_ok=False)
    assert (refused.returncode, refused.stdout) == (1, ""), "QEMU cannot read it"
    empty.run("sh", "-c", "echo -1 >/proc/sys/fs/binfmt_misc/qemu-arm")
    register(empty, "arm", flags="FPO")
    ended(empty.run(*UNPRIVILEGED, path, is_ok=False), "arm", path)


@pytest.mark.parametrize(
    ("flags", "mode", "ids"),
    [
        ("FP", "6755", "1000 1000 1000 1000"),
        ("FPO", "6755", "1000 1000 1000 1000"),
        ("FPC", "0755", "1000 1000 1000 1000"),
        ("FPC", "4755", "1000 2000 1000 1000"),
        ("FPC", "2755", "1000 1000 1000 3000"),
        ("PC", "6755", "1000 2000 1000 3000"),
    ],
)
def test_set_user_id_bits_of_foreign_programs_count_with_the_flag_c_and_only_then(
    shop: Path, flags: str, mode: str, ids: str
) -> None:
    path = foreign.built(shop, "arm")
    script = (
        f"mount -t tmpfs -o mode=755 none /mnt && cp {path} /mnt/foreign"
        f" && chown 2000:3000 /mnt/foreign && chmod {mode} /mnt/foreign"
        " && exec setpriv --reuid=1000 --regid=1000 --clear-groups -- /mnt/foreign ids"
    )
    with private_kernel(has_all_users=True) as kernel:
        register(kernel, "arm", flags=flags)
        ended(kernel.run("unshare", "--mount", "sh", "-c", script, is_ok=False), "arm", ids)


def proofs_run(kernel: Kernel, directory: Path, *names: str) -> set[str]:
    """Return those of the platforms whose proof program runs."""
    found = set()
    for name in names:
        file = directory / name
        file.write_bytes(program(name))
        file.chmod(0o755)
        if kernel.run(str(file), is_ok=False).returncode == ENDS_WITH:
            found.add(name)
    return found


def test_all_six_kinds_of_mips_are_told_apart(empty: Kernel, tmp_path: Path) -> None:
    register(empty, *MIPS)
    assert proofs_run(empty, tmp_path, *MIPS) == set(MIPS)


@pytest.mark.parametrize("name", MIPS)
def test_of_six_kinds_of_mips_one_entry_takes_its_own(
    empty: Kernel, tmp_path: Path, name: str
) -> None:
    register(empty, name)
    assert proofs_run(empty, tmp_path, *MIPS) == {name}


def test_with_the_bytes_of_the_specification_two_kinds_of_mips_are_lost(
    empty: Kernel, tmp_path: Path
) -> None:
    """The newer entry takes all, and QEMU refuses what is not of its kind."""
    register(empty, *MIPS, byte_set="guix")
    assert proofs_run(empty, tmp_path, *MIPS) == set(MIPS) - {"mips", "mipsel"}
