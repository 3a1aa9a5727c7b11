"""The one-shot that makes Ganeti's files, as `[ganeti]` says."""

from pathlib import Path

import pytest

from virtsupd.config.kinds import KindContext
from virtsupd.config.settings import HostSettings
from virtsupd.ganeti.configuration_settings import ConfigurationSettings
from virtsupd.ganeti.providers import default_oses
from virtsupd.process.settings_file import read_settings
from virtsupd.services.ganeti_os import GanetiConfiguration, ganeti_configuration
from virtsupd.services.ganeti_os_table import OsTable

CONTEXT = KindContext(HostSettings(), {})


def made(
    *tables: dict[str, object],
    paths: tuple[str, ...] = (),
    hooks: str | None = None,
    context: KindContext = CONTEXT,
) -> GanetiConfiguration:
    parsed = tuple(map(OsTable.model_validate, tables))
    return ganeti_configuration(parsed, paths, hooks, context)


def settings(found: GanetiConfiguration, folder: Path) -> ConfigurationSettings:
    [file] = found.files
    (folder / "settings").write_text(file.content)
    return read_settings(folder / "settings", ConfigurationSettings)


def test_the_files_are_made_by_a_one_shot_that_takes_them_away_again() -> None:
    found = made({"name": "custom", "variants": [{"name": "a", "configuration": "x"}]})
    keys = found.changes["ganeti-configuration"]
    [file] = found.files
    command, clean_up = keys["command"], keys["clean_up"]
    assert isinstance(command, list)
    assert isinstance(clean_up, list)
    assert command[-2:] == ["virtsupd.ganeti.configure", str(file.path)]
    record = "/var/lib/virtsupd/ganeti-configuration.json"  # outlives a boot, as the files do
    assert clean_up[-3:] == ["virtsupd.ganeti.configure", "--remove", record]
    assert (file.reader, file.mode) == ("ganeti-configuration", 0o600)


def test_storage_paths_and_hooks_go_along(tmp_path: Path) -> None:
    found = settings(made(paths=("/srv/a", "/srv/a", "/srv/b"), hooks="/opt/hooks"), tmp_path)
    assert found.files == {"/etc/ganeti/file-storage-paths": "/srv/a\n/srv/b\n"}
    assert found.links == {"/etc/ganeti/hooks": "/opt/hooks"}


def test_no_os_is_none_and_an_os_that_is_not_said_what_is_installed(tmp_path: Path) -> None:
    assert settings(made(), tmp_path).files == {}
    unsaid = settings(ganeti_configuration(None, (), None, CONTEXT), tmp_path)
    lists = {path for path in unsaid.files if path.endswith("/variants/variants.list")}
    assert lists == {
        f"/etc/ganeti/instance-{one.name}/variants/variants.list" for one in default_oses()
    }


def test_faults_name_the_key_in_the_table() -> None:
    found = made(
        {"name": "a", "variants": [{"name": "x", "configuration": ""}, {"name": "y"}]},
        {"name": "a"},
        paths=("/srv/a", "/etc"),
    )
    assert [keys for keys, _ in found.problems] == [
        ("os", 0, "variants", 1),
        ("os", 1, "name"),
        ("file_storage_paths", 1),
    ]
    assert found.files == ()


def test_a_provider_that_is_not_installed_is_a_warning_and_its_files_are_made(
    tmp_path: Path,
) -> None:
    found = made({"name": "none-such", "variants": [{"name": "a", "configuration": "x"}]})
    [(keys, text)] = found.warnings
    assert keys == ("os", 0, "name")
    assert "/srv/ganeti/os" in text
    assert "/etc/ganeti/instance-none-such/variants/a" in settings(found, tmp_path).files


@pytest.mark.parametrize(
    ("keys", "variant", "place"),
    [
        ({"extension": ".txt"}, {"name": "a"}, ("os", 0, "extension")),
        ({}, {"name": "a", "suite": False}, ("os", 0, "variants", 0, "suite")),
    ],
)
def test_what_works_otherwise_than_one_may_think_is_a_warning(
    keys: dict[str, object], variant: dict[str, object], place: tuple[object, ...]
) -> None:
    found = made({"name": "debootstrap", "variants": [variant], **keys})
    assert place in [where for where, _ in found.warnings]
    assert found.problems == ()


def test_the_host_is_asked_for_what_is_to_be_copied_and_run(tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name, mode in (("hello.sh", 0o755), ("plain", 0o644), ("right", 0o755)):
        (hooks / name).write_text("#!/bin/sh\n")
        (hooks / name).chmod(mode)
    context = KindContext(HostSettings(state_dir=tmp_path / "state"), {})
    found = made(
        {"name": "debootstrap", "variants": [{"name": "lab", "hooks": str(hooks)}]},
        {"name": "b", "variants": [{"name": "a", "configuration_file": f"{tmp_path}/none"}]},
        context=context,
    )
    texts = [text for _, text in found.host_faults()]
    assert f"debootstrap+lab: {hooks}: 'hello.sh' would be skipped" in texts[0]
    assert f"{hooks}/plain would be skipped by run-parts: it is not executable" in texts[1]
    assert texts[2] == f"{tmp_path}/none: no such file or directory"
    assert len(texts) == 3


def test_a_directory_of_hooks_that_is_not_there_is_told(tmp_path: Path) -> None:
    variant = {"name": "lab", "hooks": f"{tmp_path}/none"}
    found = made({"name": "debootstrap", "variants": [variant]})
    assert next(iter(found.host_faults()))[1].endswith("none: no such file or directory")
