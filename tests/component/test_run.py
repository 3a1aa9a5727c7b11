"""scripts/run as a newcomer uses it: at a terminal, with a second one beside it."""

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.guest import Guest
from tests.support.namespaces import CHECKOUT, LIBVIRT_CGROUP, Namespaces, cgroups_named, isolated

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]

START_SECONDS = 60.0
CTRL_C = "\x03"
RUN = "run/virtsupd-demo"
# The demo's own directories, apart from those of a demo that runs on this machine.
OWN_DIRECTORIES = """
mkdir /run/upper /run/work
mount -t overlay -o lowerdir=/var/lib,upperdir=/run/upper,workdir=/run/work overlay /var/lib
mount -t tmpfs -o mode=755 private /var/log
# A KVM that opens may yet run no guest, where the tests run: the childhurd has none.
if [ -e /dev/kvm ]; then
  mknod -m 600 /run/kvm c 10 232
  mount --bind /run/kvm /dev/kvm
fi
exec "$@"
"""
# What the newcomer types, and then looks for what is left.
AT_THE_TERMINAL = f"""
trap : INT
{shlex.quote(str(CHECKOUT / "scripts/run"))}
status=$?
echo LEFT: $(ls -d /run/virtsupd* /var/lib/virtsupd* /var/log/virtsupd* 2>/dev/null)
echo MOUNTS: $(grep -c virtsupd-demo /proc/self/mountinfo)
exit $status
"""


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Namespaces]:
    terminal = ["script", "--quiet", "--flush", "--return", "--command", AT_THE_TERMINAL]
    program = ["sh", "-ec", OWN_DIRECTORIES, "sh", *terminal, "/dev/null"]
    with isolated(program, shared=tmp_path / "shared") as demo:
        yield demo


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Namespaces]:
    """A host on which nothing runs, and which a demo may leave in disorder."""
    program = ["sh", "-ec", OWN_DIRECTORIES, "sh", "sleep", "infinity"]
    with isolated(program, shared=tmp_path / "shared") as host:
        await_silence(host)
        yield host


@contextmanager
def demo_at_a_terminal(host: Namespaces) -> Iterator[Path]:
    """Have scripts/run working at a terminal of its own on the host; yield what that shows."""
    enter = ["nsenter", "--target", str(host.first), "--mount", "--net", "--pid", "--root", "--wd"]
    # A shell that stays, as a newcomer's does: it is who learns that the terminal is gone.
    command = f"{shlex.quote(str(CHECKOUT / 'scripts/run'))}; echo STATUS: $?"
    # Whoever runs the tests may have them ignore HUP (nohup), which is handed down.
    terminal = [
        *enter,
        "env",
        "--default-signal=HUP",
        "script",
        "--quiet",
        "--flush",
        "--command",
        command,
        "/dev/null",
    ]
    shown = host.shared / "terminal"
    with shown.open("wb") as screen:
        emulator = subprocess.Popen(terminal, stdin=subprocess.PIPE, stdout=screen)
    try:
        run = [str(CHECKOUT / ".venv/bin/virtsupctl"), "--socket", f"/{RUN}/control"]
        control = host.root / RUN / "control"
        eventually(
            lambda: "Ctrl-C here" in text_of(shown), "the rest cleared", seconds=START_SECONDS
        )
        eventually(control.is_socket, "a control socket", seconds=START_SECONDS)
        host.run(*run, "wait", "libvirtd")
        yield shown
    except AssertionError as error:
        error.add_note(f"The terminal shows:\n{text_of(shown)}")
        raise
    finally:
        emulator.kill()
        emulator.communicate()


def pids_of(host: Namespaces, command: str) -> list[int]:
    """Return the pids, inside, of the processes whose command line holds `command`."""
    entries = (host.root / "proc").glob("[1-9]*")
    return [int(entry.name) for entry in entries if command in text_of(entry / "cmdline")]


def commands_on(host: Namespaces) -> list[str]:
    """Return the command lines of the host's processes, but for those that the tests run there."""
    entries = (host.root / "proc").glob("[1-9]*")
    lines = [text_of(entry / "cmdline").replace("\0", " ").strip() for entry in entries]
    return [line for line in lines if line and not ("init.py" in line or "script --quiet" in line)]


def await_silence(host: Namespaces) -> None:
    """Return once no process of a demo is left."""
    eventually(lambda: commands_on(host) == ["sleep infinity"], "processes gone", seconds=30.0)


def assert_only_the_host_is_left(host: Namespaces) -> None:
    """Wait until the demo's processes and directories are gone."""
    places = [host.root / RUN, *(host.root / f"var/{at}/virtsupd-demo" for at in ("lib", "log"))]
    await_silence(host)
    eventually(lambda: not any(place.exists() for place in places), "directories gone")


def lines_to_paste(demo: Namespaces) -> list[str]:
    """Return what the demo tells the newcomer to type."""
    printed = demo.output.split("In a second terminal", 1)[1].split("Ctrl-C here", 1)[0]
    return [line.strip() for line in printed.splitlines() if line.startswith("  ")]


def run_pasted(demo: Namespaces, line: str) -> str:
    """Run a line in a shell that has nothing activated."""
    return demo.run("env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", line).stdout


def await_libvirtd(demo: Namespaces) -> None:
    """Return once the demo's libvirtd is ready."""
    control = demo.root / RUN / "control"
    eventually(control.is_socket, "a control socket", seconds=START_SECONDS)
    status, *_ = lines_to_paste(demo)
    run_pasted(demo, status.removesuffix("status") + "wait libvirtd")


def assert_nothing_is_left(demo: Namespaces) -> None:
    """Wait for the end; the namespaces' own mount of the demo is the one that stays until then."""
    demo.wait()
    assert "LEFT:\n" in demo.output
    assert "MOUNTS: 0\n" in demo.output


def test_the_lines_it_prints_work_as_they_are_and_ctrl_c_leaves_nothing(demo: Namespaces) -> None:
    await_libvirtd(demo)
    status, restart, listing, wait, ssh = lines_to_paste(demo)
    assert "libvirtd" in run_pasted(demo, status)
    run_pasted(demo, restart)
    assert "Name" in run_pasted(demo, listing)
    run_pasted(demo, wait)
    assert "childhurd" in run_pasted(demo, f"{ssh} hostname")
    tree = cgroup_of_services(demo)
    demo.type(CTRL_C)
    assert_nothing_is_left(demo)
    assert demo.outer.returncode == 0
    assert cgroups_named(tree) == []
    assert "was still running" not in demo.output


def test_a_second_demo_leaves_the_first_alone(demo: Namespaces) -> None:
    await_libvirtd(demo)
    second = demo.run(str(CHECKOUT / "scripts/run"), is_ok=False)
    assert (second.returncode, second.stdout) == (1, "")
    assert "a demo is running already" in second.stderr
    status, *_ = lines_to_paste(demo)
    assert "libvirtd" in run_pasted(demo, status)
    demo.type(CTRL_C)
    assert_nothing_is_left(demo)


def test_ctrl_c_while_it_starts_leaves_nothing(demo: Namespaces) -> None:
    eventually(lambda: "Ctrl-C here" in demo.output, "its introduction", seconds=START_SECONDS)
    demo.type(CTRL_C)
    assert_nothing_is_left(demo)


def test_a_guest_left_running_powers_off_with_the_demo(demo: Namespaces) -> None:
    await_libvirtd(demo)
    inside = Namespaces(demo.outer, descendant(demo, "virtsupd\0--config"), demo.shared)
    before = cgroups_named(LIBVIRT_CGROUP)
    Guest(inside).start()
    demo.type(CTRL_C)
    assert_nothing_is_left(demo)
    assert "guest has ended" in demo.output
    assert "ending qemu-system-x86" not in demo.output
    assert cgroups_named(LIBVIRT_CGROUP) == before


def descendant(demo: Namespaces, command: str) -> int:
    """Return the pid, outside, of the demo's process whose command line holds `command`."""
    to_visit = [demo.first]
    for pid in to_visit:
        if command in text_of(Path(f"/proc/{pid}/cmdline")):
            return pid
        to_visit += map(int, text_of(Path(f"/proc/{pid}/task/{pid}/children")).split())
    raise AssertionError(f"no process of the demo is called {command!r}")


def cgroup_of_services(demo: Namespaces) -> str:
    """Return the name of the cgroup that holds the cgroups of the demo's services."""
    return cgroup_of(descendant(demo, "libvirtd\0-f"), Path("/proc")).parent.name


def cgroup_of(pid: int, proc: Path) -> Path:
    """Return the cgroup, from the top of its hierarchy, of a process in that /proc."""
    lines = text_of(proc / f"{pid}/cgroup").splitlines()
    [path] = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    return Path(path)


def test_closing_the_terminal_is_as_good_as_ctrl_c(host: Namespaces) -> None:
    with demo_at_a_terminal(host):
        [emulator] = pids_of(host, "script\0--quiet")
        host.signal(emulator, "KILL")
        assert_only_the_host_is_left(host)


def test_what_it_cannot_say_any_more_does_not_keep_it_from_cleaning_up(host: Namespaces) -> None:
    with demo_at_a_terminal(host):
        [emulator] = pids_of(host, "script\0--quiet")
        [virtsupd] = pids_of(host, "virtsupd\0--config")
        [held] = pids_of(host, "scripts/hold-demo")
        host.run("sh", "-c", f"kill -STOP {held}; kill -KILL {virtsupd} {emulator}")
        host.signal(held, "CONT")
        assert_only_the_host_is_left(host)


def test_nothing_is_removed_under_a_demo_that_lives(host: Namespaces) -> None:
    with demo_at_a_terminal(host):
        [virtsupd] = pids_of(host, "virtsupd\0--config")
        [held] = pids_of(host, "scripts/hold-demo")
        host.signal(virtsupd, "STOP")
        host.signal(held, "KILL")
        second = host.run(str(CHECKOUT / "scripts/run"), is_ok=False)
        assert (second.returncode, second.stdout) == (1, "")
        assert f"still running: virtsupd (pid {virtsupd})" in second.stderr
        assert f"--socket /{RUN}/control shutdown" in second.stderr
        assert (host.root / RUN / "control").is_socket()
        host.signal(virtsupd, "CONT")  # and TERM awaits it, since nobody holds the demo any more
        await_silence(host)


def test_services_without_their_virtsupd_are_not_disturbed_either(host: Namespaces) -> None:
    with demo_at_a_terminal(host):
        libvirtd = min(pids_of(host, "libvirtd\0-f"))  # beside it may be its children, not yet qemu
        [held] = pids_of(host, "scripts/hold-demo")
        [virtsupd] = pids_of(host, "virtsupd\0--config")
        host.run("sh", "-c", f"kill -STOP {virtsupd}; kill -KILL {held} {virtsupd}")
        second = host.run(str(CHECKOUT / "scripts/run"), is_ok=False)
        assert second.returncode == 1
        assert f"libvirtd (pid {libvirtd})" in second.stderr
        [advice] = [line for line in second.stderr.splitlines() if "end it with: kill" in line]
        # A child of libvirtd's may have ended since it was named.
        host.run("sh", "-c", advice.split("end it with: ")[1], is_ok=False)
        await_silence(host)
    with demo_at_a_terminal(host):
        assert libvirtd not in pids_of(host, "libvirtd\0-f")
        [emulator] = pids_of(host, "script\0--quiet")
        host.signal(emulator, "KILL")
        assert_only_the_host_is_left(host)


def test_the_death_of_virtsupd_is_said_with_its_last_lines(host: Namespaces) -> None:
    with demo_at_a_terminal(host) as shown:
        [virtsupd] = pids_of(host, "virtsupd\0--config")
        libvirtd = min(pids_of(host, "libvirtd\0-f"))
        tree = cgroup_of(libvirtd, host.root / "proc").parent.name
        host.signal(virtsupd, "KILL")
        eventually(lambda: "STATUS: 137" in text_of(shown), "its end", seconds=30.0)
        said = text_of(shown).split("run: virtsupd was ended by SIGKILL", 1)[1]
        assert "libvirtd" in said.split("the last lines of its log:", 1)[1]
        assert_only_the_host_is_left(host)
        assert cgroups_named(tree) == []
