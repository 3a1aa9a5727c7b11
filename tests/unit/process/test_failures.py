"""Every stage has a sentence, and says whether trying again helps."""

import errno
from dataclasses import replace

import pytest

from virtsupd.core.spec import Limit, LogSpec, ProcessSpec
from virtsupd.process.failures import spawn_error, warning
from virtsupd.process.identity import Credentials
from virtsupd.process.plan import plan_process

PLAN = replace(
    plan_process(
        ProcessSpec(("/bin/true",), LogSpec(""), limits=(Limit("core", 0, 0),), nice=-5),
        extra_environment={},
        descriptors=(0, 1, 2),
        cgroup_fd=None,
    ),
    credentials=Credentials(7, 8, (9,), "/", "/bin/sh", "www"),
    oom_score_adjust=-900,
    capabilities=("CAP_KILL",),
    directory="/srv",
)


@pytest.mark.parametrize(
    ("stage", "sentence"),
    [
        ("fork", "cannot make a process: "),
        ("cgroup", "cannot make a process in its cgroup: "),
        ("session", "cannot make a session: "),
        ("descriptors", "cannot pass 3 descriptors: "),
        ("limits", "cannot set limits core: "),
        ("oom-score", "cannot set the OOM score adjustment to -900: "),
        ("nice", "cannot set nice to -5: "),
        ("capabilities", "cannot reduce capabilities to CAP_KILL: "),
        ("groups", "cannot set supplementary groups (9,): "),
        ("group", "cannot become group 8: "),
        ("user", "cannot become user www: "),
        ("no-new-privileges", "cannot renounce new privileges: "),
        ("directory", "cannot enter directory /srv: "),
        ("exec", "cannot run /bin/true: "),
        ("other", "cannot make a process (stage other): "),
    ],
)
def test_each_stage_has_its_sentence(stage: str, sentence: str) -> None:
    error = spawn_error(PLAN, stage, errno.EPERM)
    assert str(error) == f"{sentence}Operation not permitted"
    assert error.stage == stage
    assert error.is_permanent == (stage not in {"fork", "cgroup"})


@pytest.mark.parametrize("shortage", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ETXTBSY])
def test_shortages_pass(shortage: int) -> None:
    assert not spawn_error(PLAN, "exec", shortage).is_permanent


def test_without_an_errno_it_was_refused() -> None:
    assert str(spawn_error(PLAN, "user", 0)) == "cannot become user www: refused"


def test_a_missing_interpreter_is_told_from_a_missing_program() -> None:
    assert "its interpreter is missing" in str(spawn_error(PLAN, "exec", errno.ENOENT))
    other = replace(PLAN, executable="/no/such/program")
    assert "interpreter" not in str(spawn_error(other, "exec", errno.ENOENT))


def test_denials_are_sentences_too() -> None:
    assert warning(PLAN, "limits", 0, errno.EPERM).startswith("cannot set limit core to 0: ")
    assert warning(PLAN, "oom-score", 0, errno.EACCES) == (
        "cannot set the OOM score adjustment to -900: Permission denied"
    )
    assert warning(PLAN, "nice", 0, errno.EACCES) == "cannot set nice to -5: Permission denied"
