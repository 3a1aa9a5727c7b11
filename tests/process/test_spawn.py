"""Both spawners keep the same promises, on real children."""

import ctypes
import errno
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.processes import (
    CHILDREN,
    SOURCES,
    cgroup_tree,
    environment_of_ours,
    plan_for,
    run,
    script,
)

from virtsupd.core.names import Name
from virtsupd.core.spec import Limit
from virtsupd.errors import SpawnError
from virtsupd.process.capabilities import NUMBER_BY_NAME, own_capabilities
from virtsupd.process.spawn import ExtensionSpawner, ShellSpawner, Spawner, best_spawner

pytestmark = pytest.mark.process

NOBODY = 65534
PR_GET_DUMPABLE = 3
STRANGE = ("", "two words", "$(id)", "`id`", "'; exit 3 #", '"', "\\", "*", "-n", "a\nb", "ü", "$1")


@pytest.fixture(params=[ExtensionSpawner, ShellSpawner])
def spawner(request: pytest.FixtureRequest) -> Spawner:
    if request.param is ExtensionSpawner:
        assert ExtensionSpawner.why_not() is None, "run scripts/build_extension.py first"
    made: Spawner = request.param()
    return made


def refusal(spawner: Spawner, plan_options: dict[str, object]) -> SpawnError:
    plan = replace(plan_for("/bin/true"), **plan_options)  # type: ignore[arg-type]  # a few fields by name
    with pytest.raises(SpawnError) as caught:
        spawner.spawn(plan)
    return caught.value


def capability_sets(said: dict[str, str]) -> dict[str, int]:
    return {
        name: int(said[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb", "CapInh")
    }


def test_a_child_leads_its_own_session_and_group(spawner: Spawner) -> None:
    said = run(spawner, plan_for(*script("report.py")))
    assert said.report["pid"] == said.report["session"] == said.report["group"] == said.pid
    assert said.status.code == 0
    assert said.warnings == ()


def test_a_child_begins_with_default_dispositions_and_no_blocked_signal(spawner: Spawner) -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        said = run(spawner, plan_for("/bin/cat", "/proc/self/status")).fields
        assert signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGUSR1, before)
    of_the_c_library = 0b11 << 31  # 32 and 33, which no program uses
    assert int(said["SigBlk"], 16) == 0
    assert int(said["SigIgn"], 16) & ~of_the_c_library == 0


def test_descriptors_get_their_numbers_whatever_they_were_before(spawner: Spawner) -> None:
    first, second = os.pipe()
    try:
        extra = (1, second, 0, first, 4, 3)
        wanted = [str(Path(f"/proc/self/fd/{fd}").readlink()) for fd in extra]
        said = run(spawner, plan_for(*script("report.py")), extra).report["descriptors"]
    finally:
        os.close(first)
        os.close(second)
    assert [said[str(number)] for number in range(3, 9)] == wanted
    assert said["0"] == "/dev/null"
    assert said["1"].startswith("pipe:")


def test_nothing_else_of_ours_is_passed_on(spawner: Spawner) -> None:
    ends = os.pipe()
    for end in ends:
        os.set_inheritable(end, True)
    try:
        said = run(spawner, plan_for(*script("report.py"))).report
    finally:
        for end in ends:
            os.close(end)
    assert sorted(said["descriptors"]) == ["0", "1", "2"]


def test_arguments_arrive_as_they_are(spawner: Spawner) -> None:
    said = run(spawner, plan_for(*script("report.py", *STRANGE)))
    assert said.report["arguments"] == list(STRANGE)


def test_the_environment_is_what_was_planned_and_nothing_more(spawner: Spawner) -> None:
    variables = {f"V{number}": text for number, text in enumerate(STRANGE)}
    variables |= {"PWD": "/elsewhere", "LD_LIBRARY_PATH": "/nowhere", "IFS": "x", "late": "1"}
    plan = replace(plan_for(*script("report.py")), environment=variables)
    with environment_of_ours({"OURS": "1"}):
        said = run(spawner, plan).report["environment"]
    said.pop("LC_CTYPE", None)  # Python's own doing
    said.pop("_", None)  # of a bash that stands in for sh
    assert said == variables


def test_the_pid_variable_holds_the_pid_of_the_program(spawner: Spawner) -> None:
    plan = replace(plan_for(*script("report.py")), pid_variable="LISTEN_PID")
    said = run(spawner, plan)
    assert said.report["environment"]["LISTEN_PID"] == str(said.pid)


def test_directory_umask_and_nice_are_set(spawner: Spawner, tmp_path: Path) -> None:
    plan = plan_for(*script("report.py"), directory=str(tmp_path), umask=0o137, nice=4)
    said = run(spawner, plan).report
    assert (said["directory"], said["umask"], said["nice"]) == (str(tmp_path), 0o137, 4)


def test_limits_and_oom_score_are_set(spawner: Spawner) -> None:
    limits = (Limit("nofile", 123, 456), Limit("core", 0, 0))
    said = run(spawner, plan_for(*script("report.py"), limits=limits, oom_score_adjust=321)).report
    assert said["nofile"] == [123, 456]
    assert said["core"] == [0, 0]
    assert said["oom_score"] == 321


def test_a_denied_limit_is_a_warning_and_the_nearest_is_set(spawner: Spawner) -> None:
    most = int(Path("/proc/sys/fs/nr_open").read_text()) + 1  # denied to everybody
    own_hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    said = run(spawner, plan_for(*script("report.py"), limits=(Limit("nofile", most, most),)))
    assert said.report["nofile"] == [own_hard, own_hard]
    (warning,) = said.warnings
    assert warning.startswith(f"cannot set limit nofile to {most}: Operation not permitted")


def test_a_denied_oom_score_is_a_warning(spawner: Spawner) -> None:
    is_allowed = own_capabilities("CapEff") >> NUMBER_BY_NAME["CAP_SYS_RESOURCE"] & 1
    said = run(spawner, plan_for(*script("report.py"), oom_score_adjust=-900))
    assert len(said.warnings) == (0 if is_allowed else 1)
    assert said.report["oom_score"] == (-900 if is_allowed else 0)


def test_a_user_of_its_own_has_its_groups_and_no_rights(spawner: Spawner) -> None:
    plan = plan_for(
        "/bin/cat", "/proc/self/status", user="nobody", supplementary_groups=("daemon", "4242")
    )
    said = run(spawner, plan).fields
    assert said["Uid"].split() == [str(NOBODY)] * 4
    assert said["Gid"].split() == [str(NOBODY)] * 4
    assert sorted(said["Groups"].split()) == ["1", "4242"]
    assert int(said["CapEff"], 16) == 0


def test_no_supplementary_group_is_possible(spawner: Spawner) -> None:
    plan = plan_for("/bin/cat", "/proc/self/status", user="nobody", supplementary_groups=())
    assert run(spawner, plan).fields["Groups"] == ""


def test_a_user_of_its_own_keeps_the_chosen_capabilities_over_exec(spawner: Spawner) -> None:
    names = ("CAP_NET_BIND_SERVICE", "CAP_KILL")
    plan = plan_for("/bin/cat", "/proc/self/status", user="nobody", capabilities=names)
    mask = sum(1 << NUMBER_BY_NAME[name] for name in names)
    said = capability_sets(run(spawner, plan).fields)
    assert said == dict.fromkeys(said, mask)


def test_root_is_reduced_to_the_chosen_capabilities(spawner: Spawner) -> None:
    plan = plan_for("/bin/cat", "/proc/self/status", capabilities=("CAP_CHOWN",))
    said = capability_sets(run(spawner, plan).fields)
    assert said["CapPrm"] == said["CapEff"] == said["CapBnd"] == 1
    assert said["CapAmb"] == said["CapInh"] == 0


def test_no_new_privileges_is_set_when_asked(spawner: Spawner) -> None:
    plan = plan_for("/bin/cat", "/proc/self/status")
    assert run(spawner, plan).fields["NoNewPrivs"] == "0"
    assert run(spawner, replace(plan, no_new_privileges=True)).fields["NoNewPrivs"] == "1"


def test_a_child_is_in_its_cgroup_before_its_program_runs(spawner: Spawner, tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree:
        group = tree.service(Name("web/1"))
        group.make()
        directory = group.open()
        try:
            said = run(spawner, replace(plan_for(*script("report.py")), cgroup_fd=directory))
        finally:
            os.close(directory)
        assert said.report["cgroup"].endswith(f"/{tree.path.name}/web%2F1.service")


def test_our_memory_stays_dumpable_when_a_child_changes_user(spawner: Spawner) -> None:
    libc = ctypes.CDLL(None)
    before = libc.prctl(PR_GET_DUMPABLE)
    run(spawner, plan_for("/bin/true", user="nobody"))
    assert libc.prctl(PR_GET_DUMPABLE) == before


def test_a_missing_directory_is_named(spawner: Spawner, tmp_path: Path) -> None:
    error = refusal(spawner, {"directory": str(tmp_path / "gone")})
    assert (error.stage, error.is_permanent) == ("directory", True)
    assert str(error) == (
        f"cannot enter directory {tmp_path}/gone: No such file or directory; "
        f"mkdir -p {tmp_path}/gone, or change directory"
    )


def test_a_directory_is_entered_as_the_service_s_user(spawner: Spawner, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    plan = plan_for("/bin/true", user="nobody", directory=str(tmp_path))
    with pytest.raises(SpawnError, match="Permission denied") as caught:
        spawner.spawn(plan)
    assert caught.value.stage == "directory"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("\0no program\n", "Exec format error"),
        ("#!/nowhere/interpreter\n", "No such file or directory: its interpreter is missing"),
    ],
)
def test_a_program_that_cannot_be_run_is_named(
    spawner: Spawner, tmp_path: Path, content: str, reason: str
) -> None:
    program = tmp_path / "program"
    program.write_text(content)
    program.chmod(0o755)
    error = refusal(spawner, {"executable": str(program)})
    assert (error.stage, error.is_permanent) == ("exec", True)
    assert str(error) == f"cannot run {program}: {reason}"


def test_a_program_that_its_user_may_not_run_is_named(spawner: Spawner, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    plan = plan_for(str(program), user="nobody")
    with pytest.raises(SpawnError, match="Permission denied") as caught:
        spawner.spawn(plan)
    assert caught.value.stage == "exec"


def test_a_program_written_to_at_the_moment_may_be_tried_again(
    spawner: Spawner, tmp_path: Path
) -> None:
    if isinstance(spawner, ShellSpawner):
        return  # a shell tells no errno
    program = tmp_path / "program"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    with program.open("ab"):
        error = refusal(spawner, {"executable": str(program)})
    assert (error.stage, error.is_permanent) == ("exec", False)


def test_a_cgroup_that_went_away_is_named_and_may_be_made_again(
    spawner: Spawner, tmp_path: Path
) -> None:
    with cgroup_tree(tmp_path) as tree:
        group = tree.service(Name("web"))
        group.make()
        directory = group.open()
        group.remove()
        try:
            error = refusal(spawner, {"cgroup_fd": directory})
        finally:
            os.close(directory)
    assert (error.stage, error.is_permanent) == ("cgroup", False)


def test_a_closed_descriptor_is_refused(spawner: Spawner) -> None:
    error = refusal(spawner, {"descriptors": (0, 1, 987)})
    assert (error.stage, error.is_permanent) == ("descriptors", True)


@pytest.mark.parametrize(
    ("right", "answer"),
    [("fork", "fork False"), ("groups", "groups True"), ("capabilities", "capabilities True")],
)
def test_what_virtsupd_may_not_do_is_named(spawner: Spawner, right: str, answer: str) -> None:
    ended = subprocess.run(
        [sys.executable, CHILDREN / "spawns_without_right.py", type(spawner).__name__, right],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.strip() == answer, ended.stderr


@pytest.mark.parametrize(
    ("options", "stage"),
    [
        ({"oom_score_adjust": 5000}, "oom-score"),
        ({"limits": (Limit("core", 2, 1),)}, "limits"),
        ({"executable": "/no/such/program"}, "exec"),
        ({"executable": "relative/program"}, "exec"),
        ({"executable": "/etc"}, "exec"),
        ({"directory": "/etc/passwd"}, "directory"),
    ],
)
def test_what_the_kernel_refuses_outright_is_named(
    spawner: Spawner, options: dict[str, object], stage: str
) -> None:
    error = refusal(spawner, options)
    assert (error.stage, error.is_permanent) == (stage, True)


def test_without_the_extension_the_shell_is_taken() -> None:
    ended = subprocess.run(
        [sys.executable, CHILDREN / "lacks_extension.py"],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "ShellSpawner: the C extension was not built\n", ended.stderr


def test_the_shell_says_what_it_cannot_pass() -> None:
    plan = replace(plan_for(*script("report.py")), environment={"a.b": "1", "c": "2"})
    said = run(ShellSpawner(), plan)
    assert said.warnings == ("cannot pass variables a.b: not names a shell knows",)
    assert said.report["environment"]["c"] == "2"


def test_the_shell_refuses_more_descriptors_than_it_can_name() -> None:
    error = refusal(ShellSpawner(), {"descriptors": (0,) * 10})
    assert (error.stage, error.is_permanent) == ("descriptors", True)


def test_many_descriptors_go_through_the_extension() -> None:
    fillers = (0,) * 40
    said = run(ExtensionSpawner(), plan_for(*script("report.py")), fillers)
    assert len(said.report["descriptors"]) == 43


def test_the_extension_is_preferred_where_it_was_built() -> None:
    assert isinstance(best_spawner(), ExtensionSpawner)


def test_a_child_runs_on_when_nobody_waits(spawner: Spawner) -> None:
    reading, writing = os.pipe()
    child = spawner.spawn(plan_for("/bin/cat", descriptors=(reading, 1, 2)))
    os.close(reading)
    assert os.waitpid(child.pid, os.WNOHANG) == (0, 0)
    os.close(writing)
    eventually(lambda: os.waitpid(child.pid, os.WNOHANG)[0], "cat sees the end of its input")
    with pytest.raises(ProcessLookupError) as caught:
        os.kill(child.pid, 0)
    assert caught.value.errno == errno.ESRCH
