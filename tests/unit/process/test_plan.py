"""Definitions become plans: programs are found, variables are put together."""

import os
from pathlib import Path
from typing import Any

import pytest

from virtsupd.core.spec import Limit, LogSpec, ProcessSpec
from virtsupd.errors import SpawnError
from virtsupd.process.plan import SpawnPlan, find_program, plan_process


def plan(*command: str, extra: dict[str, str] | None = None, **options: Any) -> SpawnPlan:
    return plan_process(
        ProcessSpec(command=command, log=LogSpec(""), **options),
        extra_environment=extra or {},
        descriptors=(0, 1, 2),
        cgroup_fd=None,
        pid_variable="LISTEN_PID",
    )


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "program"
    file.touch(mode=0o755)
    return file


def test_the_plan_repeats_what_the_definition_says() -> None:
    limits = (Limit("core", 0, 0),)
    made = plan("/bin/true", "-x", umask=0o77, nice=3, oom_score_adjust=5, limits=limits)
    assert (made.executable, made.argv) == ("/bin/true", ("/bin/true", "-x"))
    assert (made.umask, made.nice, made.oom_score_adjust, made.limits) == (0o77, 3, 5, limits)
    assert (made.directory, made.descriptors, made.pid_variable) == ("/", (0, 1, 2), "LISTEN_PID")
    assert made.credentials is None


def test_a_user_of_its_own_is_part_of_the_plan() -> None:
    made = plan("/bin/true", user="nobody")
    assert made.credentials is not None
    assert made.credentials.user_name == "nobody"


def test_what_virtsupd_adds_wins() -> None:
    made = plan("/bin/true", environment=(("A", "1"), ("B", "1")), extra={"B": "2"})
    assert (made.environment["A"], made.environment["B"]) == ("1", "2")


def test_a_program_is_sought_in_the_service_s_own_path(program: Path, tmp_path: Path) -> None:
    path = f"/nowhere:{tmp_path}:/bin"
    assert plan("program", environment=(("PATH", path),)).executable == str(program)
    assert plan("sh").executable.endswith("/sh")


def test_a_relative_program_counts_from_the_directory(program: Path, tmp_path: Path) -> None:
    assert find_program((f"./{program.name}",), {}, str(tmp_path)) == "./program"
    with pytest.raises(SpawnError, match="no such program"):
        find_program(("./other",), {}, str(tmp_path))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ((), "an empty command"),
        (("",), "an empty command"),
        (("/no/such/program",), "cannot run /no/such/program: no such program"),
        (("/etc",), "no such program"),
        (("/etc/passwd",), "not executable"),
        (("no-such-program",), "not found in PATH"),
        (("/bin/true", "a\0b"), "NUL"),
    ],
)
def test_a_missing_program_is_refused_for_good(command: tuple[str, ...], message: str) -> None:
    with pytest.raises(SpawnError, match=message) as caught:
        plan(*command)
    assert (caught.value.stage, caught.value.is_permanent) == ("program", True)


@pytest.mark.parametrize(
    ("options", "stage"),
    [
        ({"user": "no-such-user"}, "user"),
        ({"group": "no-such-group"}, "group"),
        ({"environment_files": ("/no/such/file",)}, "environment"),
        ({"environment": (("A", "\0"),)}, "environment"),
        ({"limits": (Limit("files", 1, 1),)}, "limits"),
        ({"capabilities": ("CAP_FLY",)}, "capabilities"),
    ],
)
def test_each_unknown_thing_is_refused_by_its_stage(options: dict[str, Any], stage: str) -> None:
    with pytest.raises(SpawnError) as caught:
        plan("/bin/true", **options)
    assert (caught.value.stage, caught.value.is_permanent) == (stage, True)


def test_no_descriptor_is_made_by_planning() -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - names are meant
    plan("sh", user="nobody", capabilities=())
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208 - names are meant
