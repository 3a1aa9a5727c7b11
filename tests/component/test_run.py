"""scripts/run as a newcomer uses it: at a terminal, with a second one beside it."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.guest import Guest
from tests.support.namespaces import CHECKOUT, LIBVIRT_CGROUP, Namespaces, cgroups_named, isolated

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]

START_SECONDS = 60.0
CTRL_C = "\x03"
# The demo's own directories, apart from those of a demo that runs on this machine.
OWN_DIRECTORIES = """
mkdir /run/upper /run/work
mount -t overlay -o lowerdir=/var/lib,upperdir=/run/upper,workdir=/run/work overlay /var/lib
mount -t tmpfs -o mode=755 private /var/log
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


def lines_to_paste(demo: Namespaces) -> list[str]:
    """Return what the demo tells the newcomer to type."""
    printed = demo.output.split("In a second terminal", 1)[1].split("Ctrl-C here", 1)[0]
    return [line.strip() for line in printed.splitlines() if line.startswith("  ")]


def run_pasted(demo: Namespaces, line: str) -> str:
    """Run a line in a shell that has nothing activated."""
    return demo.run("env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", line).stdout


def await_libvirtd(demo: Namespaces) -> None:
    """Return once the demo's libvirtd is ready."""
    control = demo.root / "run/virtsupd-demo/control"
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
    status, restart, listing = lines_to_paste(demo)
    assert "libvirtd" in run_pasted(demo, status)
    run_pasted(demo, restart)
    assert "Name" in run_pasted(demo, listing)
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


def test_a_guest_left_running_ends_with_the_demo(demo: Namespaces) -> None:
    await_libvirtd(demo)
    inside = Namespaces(demo.outer, descendant(demo, "virtsupd\0--config"), demo.shared)
    before = cgroups_named(LIBVIRT_CGROUP)
    Guest(inside).start()
    demo.type(CTRL_C)
    assert_nothing_is_left(demo)
    assert "ending qemu-system-x86" in demo.output
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
    libvirtd = descendant(demo, "libvirtd\0-f")
    lines = text_of(Path(f"/proc/{libvirtd}/cgroup")).splitlines()
    [path] = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    return Path(path).parent.name
