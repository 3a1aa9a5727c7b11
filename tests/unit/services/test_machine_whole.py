"""Both kinds of machines are made in one place, and differ only in what their tables say."""

from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.core.names import Name

MACHINES = [("hurd_vm", "hurd-vm"), ("build_vm", "build-vm")]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give each test a folder of its own."""
    return Folder(tmp_path)


@pytest.mark.parametrize(("table", "name"), MACHINES)
def test_a_machine_needs_its_secrets_and_its_image_and_has_files_for_both(
    folder: Folder, table: str, name: str
) -> None:
    loaded = folder.load(f'[[{table}]]\nimage = "/a.img"\nautostart = true\n')
    specs = loaded.graph.spec_by_name
    assert {f"{name}-prepare", f"{name}-image"} <= set(specs[Name(name)].requires)
    assert f"{name}-prepare" in specs[Name(f"{name}-image")].requires
    files = {file.path for file in loaded.generated}
    directory = loaded.host.generated_dir / table
    assert {directory / f"{name}-image.conf", directory / f"{name}-prepare.conf"} <= files


@pytest.mark.parametrize(("table", "name"), MACHINES)
def test_actions_are_those_of_any_machine(folder: Folder, table: str, name: str) -> None:
    loaded = folder.load(f'[[{table}]]\nos = "/a.scm"\n')
    there = {action.name for action in loaded.graph.spec_by_name[Name(name)].actions}
    assert {"qmp", "screenshot", "console", "ssh", "image-info", "image-build"} <= there


@pytest.mark.parametrize("table", ["hurd_vm", "build_vm"])
def test_two_that_would_write_one_image_are_refused(folder: Folder, table: str) -> None:
    key = {"hurd_vm": "id = 2", "build_vm": 'name = "other"'}[table]
    written = f'[[{table}]]\nimage = "/a.img"\nstateful = true\n'
    text = f'{written}[[{table}]]\n{key}\nimage = "/a.img"\n'
    assert "one that is written (stateful) has to be its own" in folder.problems(text)[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[{table}]]\n", "image: is missing"),
        ('[[{table}]]\nimage = "/a.img"\nmemory_size = -1\n', "memory_size"),
    ],
)
@pytest.mark.parametrize(("table", "name"), MACHINES)
def test_a_faulty_table_is_the_only_thing_that_is_wrong(
    folder: Folder, table: str, name: str, text: str, said: str
) -> None:
    own = f'[service.{name}]\numask = "0077"\n[service.{name}-image]\nnice = 1\n'
    needs = f'[service.web]\ncommand = ["x"]\nrequires = ["{name}-ssh", "{name}-prepare"]\n'
    [problem] = folder.problems(text.format(table=table) + own + needs)
    assert said in problem


def test_what_is_written_on_top_of_a_fetched_image_is_the_machine_s_own(folder: Folder) -> None:
    image = f'image = "https://example.org/a.img"\nchecksum = "sha256:{"0" * 64}"\n'
    both = f'[[build_vm]]\nstateful = true\n{image}[[build_vm]]\nname = "b"\n{image}'
    ports = 'port_forwardings = { "12022" = 22 }\n'
    assert {"build-vm", "b"} <= set(folder.load(both + ports).graph.spec_by_name)
