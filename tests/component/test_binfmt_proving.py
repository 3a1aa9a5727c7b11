"""Programs of foreign platforms that the kernel runs, by a table of our own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.support.binfmt import Kernel, private_kernel
from tests.support.checks import eventually, text_of

from virtsupd.binfmt.entries import Instance, Registration
from virtsupd.binfmt.platforms import NAMES, host_family, lookup_qemu_platforms
from virtsupd.binfmt.proving import prove

pytestmark = pytest.mark.component

OWN = host_family(os.uname().machine)
FOREIGN = [one.name for one in lookup_qemu_platforms(*NAMES) if one.family != OWN]
NONE_TAKES = "no entry takes its programs"
PROVE = """
import json, sys
from pathlib import Path
from virtsupd.binfmt.platforms import lookup_qemu_platforms
from virtsupd.binfmt.proving import prove
names, options = json.loads(sys.argv[1])
if "root" in options:
    options["root"] = Path(options["root"])
print(json.dumps(dict(prove(lookup_qemu_platforms(*names), **options))))
"""


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with private_kernel() as found:
        yield found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root in which there is nothing but where a file can be put."""
    (tmp_path / "root/tmp").mkdir(parents=True)
    (tmp_path / "root").chmod(0o755)
    (tmp_path / "root/tmp").chmod(0o1777)
    return tmp_path / "root"


def enter(kernel: Kernel, *names: str, interpreter: str = "", flags: str = "F") -> None:
    """Register platforms, with Debian's emulators unless told otherwise."""
    for one in lookup_qemu_platforms(*names):
        path = interpreter or f"/usr/bin/qemu-{one.qemu}-static"
        Instance(kernel.table).register(Registration(one.entry, one.magic, one.mask, path, flags))


def proved(kernel: Kernel, *names: str, **options: object) -> Mapping[str, str]:
    """Prove platforms by a process in the kernel's namespaces."""
    found: dict[str, str] = json.loads(
        kernel.python("-c", PROVE, json.dumps([names, options])).stdout
    )
    assert list(found) == list(names)
    return found


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_programs_of_all_platforms_run_at_once(kernel: Kernel) -> None:
    assert set(proved(kernel, *FOREIGN).values()) != {""}
    enter(kernel, *FOREIGN)
    assert proved(kernel, *FOREIGN) == dict.fromkeys(FOREIGN, "")


def test_what_is_not_entered_or_switched_off_is_taken_by_no_entry(kernel: Kernel) -> None:
    enter(kernel, "arm", "s390x")
    (kernel.table / "qemu-s390x").write_text("0")
    found = proved(kernel, "arm", "s390x", "aarch64")
    assert found["arm"] == ""
    for name in ("s390x", "aarch64"):
        assert found[name].startswith(NONE_TAKES)
        assert found[name].endswith("(execve: ENOEXEC)")


def test_an_interpreter_that_is_wrong_is_told_by_what_comes_of_it(
    kernel: Kernel, tmp_path: Path
) -> None:
    enter(kernel, "arm", interpreter="/bin/true")
    enter(kernel, "aarch64", interpreter="/usr/bin/qemu-arm-static")
    enter(kernel, "s390x", interpreter=str(tmp_path / "none"), flags="")
    enter(kernel, "riscv64", interpreter="/etc/passwd", flags="")
    enter(kernel, "ppc64", interpreter=script(tmp_path / "crash", "kill -SEGV $$"))
    found = proved(kernel, "arm", "ppc64", "s390x", "aarch64", "riscv64")
    assert found["arm"] == "ended with 0 instead of 42"
    assert found["aarch64"].startswith("ended with ")
    assert found["s390x"].startswith("the interpreter of its entry is not there")
    assert found["riscv64"].startswith("not permitted: the interpreter")
    assert found["ppc64"] == "killed by SIGSEGV"


def test_an_interpreter_that_hangs_is_killed_and_no_other(kernel: Kernel, tmp_path: Path) -> None:
    hangs = script(tmp_path / "hangs", f"echo $$ >{tmp_path}/pid; exec sleep 1000")
    enter(kernel, "arm", interpreter=hangs)
    enter(kernel, "s390x")
    found = proved(kernel, "arm", "s390x", seconds=1.5)
    assert found == {"arm": "no end within 1.5 s: killed", "s390x": ""}
    assert not Path(f"/proc/{text_of(tmp_path / 'pid').strip()}").exists()


def test_a_proof_ends_when_somebody_wants_it_to(kernel: Kernel, tmp_path: Path) -> None:
    hangs = script(tmp_path / "hangs", f"echo $$ >{tmp_path}/pid; exec sleep 1000")
    enter(kernel, "arm", interpreter=hangs)
    words = json.dumps([["arm"], {"seconds": 1000, "until": 0}])
    command = kernel.enter(sys.executable, "-c", PROVE, words)
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1) as asking:
        try:
            pid = eventually(lambda: text_of(tmp_path / "pid").strip(), "the hanging program")
            assert asking.stdin is not None
            asking.stdin.write(b"x")
            _, complaint = asking.communicate(timeout=20)
        finally:
            asking.kill()
    assert b"CutShortError" in complaint
    assert not Path(f"/proc/{pid}").exists()


def test_in_another_root_the_flag_f_is_what_counts(kernel: Kernel, root: Path) -> None:
    enter(kernel, "arm")
    enter(kernel, "s390x", flags="P")
    found = proved(kernel, "arm", "s390x", root=str(root))
    assert found["arm"] == ""
    assert "without the flag F it has to be in every root" in found["s390x"]
    assert list(root.rglob("*")) == [root / "tmp"]


def test_a_root_without_a_place_for_a_program_is_told(kernel: Kernel, root: Path) -> None:
    (root / "tmp").rmdir()
    enter(kernel, "arm")
    found = proved(kernel, "arm", root=str(root))
    assert found["arm"].startswith("no place for a program: /proc is not mounted, and nothing")
    assert list(root.rglob("*")) == []


def test_a_link_in_a_root_leads_nowhere_out_of_it(
    kernel: Kernel, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir(mode=0o777)
    (root / "tmp").rmdir()
    (root / "tmp").symlink_to(tmp_path / "outside")
    enter(kernel, "arm")
    assert proved(kernel, "arm", root=str(root))["arm"].startswith("no place for a program")


def test_a_root_that_is_none_is_a_reason(kernel: Kernel) -> None:
    found = proved(kernel, "arm", "s390x", root="/no/such")
    assert set(found.values()) == {"cannot enter /no/such: it is not there"}


def test_where_a_process_is_its_table_counts(kernel: Kernel) -> None:
    enter(kernel, "arm")
    platforms = lookup_qemu_platforms("arm", "s390x")
    found = prove(platforms, pid=kernel.pid)
    assert found["arm"] == ""
    assert found["s390x"].startswith(NONE_TAKES)


def test_a_hostile_interpreter_has_no_network_no_rights_and_no_future(kernel: Kernel) -> None:
    own = {name: os.readlink(f"/proc/{kernel.pid}/ns/{name}") for name in ("net", "ipc", "uts")}  # noqa: PTH115
    lines = [f'[ "$(readlink /proc/self/ns/{name})" != "{own[name]}" ] || exit 50' for name in own]
    lines += [
        '[ "$(id -u)" != 0 ] || exit 51',
        "grep -q '^CapEff:.*[1-9a-f]' /proc/self/status && exit 52",
        '[ "$(ulimit -f)" = 0 ] || exit 53',
        "(setsid sleep 98765.4321 </proc/self/fd/0 &)",
        "exit 42",
    ]
    with TemporaryDirectory(dir="/tmp") as place:
        Path(place).chmod(0o755)
        enter(kernel, "arm", interpreter=script(Path(place) / "hostile", "\n".join(lines)))
        assert prove(lookup_qemu_platforms("arm"), pid=kernel.pid) == {"arm": ""}
        running = [text_of(one) for one in Path("/proc").glob("[0-9]*/cmdline")]
        assert not [one for one in running if "98765.4321" in one]


def test_in_a_container_with_processes_of_its_own(kernel: Kernel) -> None:
    enter(kernel, "arm")
    container = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    command = kernel.enter(*container, "sh", "-c", "echo ready; exec cat >/dev/null")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as outer:
        assert outer.stdin is not None
        assert outer.stdout is not None
        assert outer.stdout.readline() == b"ready\n"
        first = text_of(Path(f"/proc/{outer.pid}/task/{outer.pid}/children")).strip()
        found = prove(lookup_qemu_platforms("arm"), pid=int(first))
        outer.stdin.close()
    assert found == {"arm": ""}


def test_nobody_is_no_reason_to_raise(kernel: Kernel) -> None:
    del kernel
    found = prove(lookup_qemu_platforms("arm"), pid=99999999)
    assert found == {"arm": "cannot enter where process 99999999 is: there is no such process"}


def test_where_files_in_memory_may_not_be_executed_others_are(kernel: Kernel) -> None:
    enter(kernel, "arm", "s390x")
    forbid = "echo 2 >/proc/sys/vm/memfd_noexec && exec "
    code = f"$0 -c '{PROVE}' \"$1\""
    words = json.dumps([["arm", "s390x"], {}])
    shell = ["sh", "-c", forbid + code, sys.executable, words]
    done = kernel.run("unshare", "--pid", "--fork", "--mount", "--mount-proc", *shell)
    assert json.loads(done.stdout) == {"arm": "", "s390x": ""}
    assert not list(Path("/tmp").glob("virtsupd-proof-*"))


@pytest.mark.parametrize("by", ["KILL", "TERM"])
def test_what_hangs_in_another_root_ends_with_who_asked_and_leaves_nothing(
    kernel: Kernel, root: Path, by: str
) -> None:
    # It has a shell but no /proc, so the program has to be a file.
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "usr").mkdir()
    script(root / "hangs", "exec sleep 1000")
    enter(kernel, "arm", interpreter="/hangs", flags="P")
    words = json.dumps([["arm"], {"root": str(root), "seconds": 1000}])
    code = f"mount --rbind /usr $2/usr && exec $0 -c '{PROVE}' \"$1\""
    command = kernel.enter("sh", "-c", code, sys.executable, words, str(root))
    with subprocess.Popen(command) as asking:
        try:
            eventually(lambda: "sleep" in running_in(root), "the hanging program")
            assert list((root / "tmp").glob("virtsupd-proof-*/arm"))
            asking.send_signal(signal.Signals[f"SIG{by}"])
            asking.wait(20)
            eventually(lambda: not running_in(root), "its end")
            eventually(lambda: not list((root / "tmp").iterdir()), "the end of its file")
        finally:
            asking.kill()


def running_in(root: Path) -> list[str]:
    """Return what runs in this root, or in a copy of it."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "root").samefile(root):
                found.append(text_of(place / "comm").strip())
        except OSError:
            continue
    return found
