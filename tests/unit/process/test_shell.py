"""The words of the shell line; what it does is in tests/process/test_spawn.py."""

from typing import Any

import pytest

from virtsupd.core.spec import LogSpec, ProcessSpec
from virtsupd.errors import SpawnError
from virtsupd.process.plan import SpawnPlan, plan_process
from virtsupd.process.shell import ShellSpawner, _privilege_options, _shell_words


def plan(*command: str, **options: Any) -> SpawnPlan:
    return plan_process(
        ProcessSpec(command=command, log=LogSpec(""), **options),
        extra_environment={},
        descriptors=(0, 1, 2),
        cgroup_fd=None,
    )


def test_values_are_parameters_and_never_part_of_the_script() -> None:
    poison = "'; echo poison; '"
    words = _shell_words(plan("/bin/true", poison, directory=f"/{poison}"), None)
    assert words[:2] == ["/bin/sh", "-c"]
    assert "poison" not in words[2]
    assert words[-1] == poison
    assert f"/{poison}" in words


def test_without_changes_of_rights_no_second_program_is_run() -> None:
    assert _privilege_options(plan("/bin/true")) == []
    assert "setpriv" not in " ".join(_shell_words(plan("/bin/true"), "setpriv"))


def test_changes_of_rights_go_through_setpriv() -> None:
    rights: dict[str, Any] = {"capabilities": ("CAP_KILL",), "no_new_privileges": True}
    changed = plan("/bin/true", user="54321", group="54322", **rights)
    words = _shell_words(changed, "/opt/setpriv")
    first = words.index("/opt/setpriv")
    assert words[first + 1 : words.index("/bin/sh", first)] == [
        "--reuid=54321",
        "--regid=54322",
        "--clear-groups",
        "--bounding-set=-all,+kill",
        "--inh-caps=-all,+kill",
        "--ambient-caps=-all,+kill",
        "--no-new-privs",
    ]


def test_without_setpriv_rights_cannot_be_changed() -> None:
    spawner = ShellSpawner(search_path="/nowhere")
    with pytest.raises(SpawnError, match="setpriv") as caught:
        spawner.spawn(plan("/bin/true", user="nobody"))
    assert (caught.value.stage, caught.value.is_permanent) == ("user", True)
