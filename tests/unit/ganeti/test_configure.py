"""The program that has the files there, or takes them away."""

from dataclasses import replace
from pathlib import Path

from tests.support.ganeti import Etc, tree_of

from virtsupd.ganeti import DebootstrapConfiguration, debootstrap_os, debootstrap_variant
from virtsupd.ganeti.configuration_settings import ConfigurationSettings
from virtsupd.ganeti.configure import main, obstacles


def written(etc: Etc, settings: ConfigurationSettings) -> str:
    file = etc.root / "settings"
    file.write_text(settings.text)
    return str(file)


def test_hooks_can_be_executed_and_copies_are_as_what_they_copy(etc: Etc) -> None:
    script = etc.root / "script"
    script.write_text("#!/bin/sh\nexit 1\n")
    hooks: dict[str, str | Path] = {"10-a": "#!/bin/sh\n", "20-b": script}
    lab = debootstrap_variant("lab", DebootstrapConfiguration(hooks=hooks))
    said: list[object] = []
    file = written(etc, etc.settings(debootstrap_os([lab]), hooks="/opt/hooks"))
    assert main([file], said.append) == 0
    found = tree_of(etc.ganeti)
    place = "instance-debootstrap/virtsupd-hooks/lab"
    assert found[f"{place}/10-a"] == (0o755, "#!/bin/sh\n")
    assert found[f"{place}/20-b"] == (0o755, "#!/bin/sh\nexit 1\n")
    assert found["hooks"] == (0, "/opt/hooks")
    assert f"made {etc.ganeti}/{place}/10-a" in said
    assert main(["--remove", str(etc.record)], said.append) == 0
    assert not etc.ganeti.exists()


def test_a_file_that_is_to_be_copied_and_is_not_there_ends_it_with_its_name(etc: Etc) -> None:
    settings = replace(
        etc.settings(paths=("/srv/a",)), copies={f"{etc.ganeti}/x": f"{etc.root}/none"}
    )
    said: list[object] = []
    assert main([written(etc, settings)], said.append) == 1
    assert said == [f"{etc.root}/none: no such file or directory"]
    assert not etc.ganeti.exists()


def test_what_would_end_it_is_known_before(etc: Etc) -> None:
    settings = etc.settings(paths=("/srv/a",))
    assert list(obstacles(settings)) == []
    path = etc.put("file-storage-paths", "/srv/theirs\n")
    [text] = obstacles(settings)
    assert str(path) in text
    assert not etc.record.parent.exists()


def test_what_has_to_be_left_fails_the_removal_once(etc: Etc) -> None:
    etc.configure(paths=("/srv/a",))
    (etc.ganeti / "file-storage-paths").write_text("edited")
    said: list[object] = []
    assert main(["--remove", str(etc.record)], said.append) == 1
    assert said == [f"left {etc.ganeti}/file-storage-paths, which somebody has changed"]
    assert main(["--remove", str(etc.record)], said.append) == 0


def test_a_damaged_record_ends_both_and_nothing_is_touched(etc: Etc) -> None:
    etc.configure(paths=("/srv/a",))
    etc.record.write_text("{")
    before = tree_of(etc.root)
    said: list[object] = []
    assert main(["--remove", str(etc.record)], said.append) == 1
    assert tree_of(etc.root) == before
    assert main([written(etc, etc.settings())], said.append) == 1
    assert all(str(etc.record) in str(line) for line in said)
    assert len(said) == 2


def test_where_nothing_was_made_nothing_is_removed(tmp_path: Path) -> None:
    assert main(["--remove", str(tmp_path / "state/none")]) == 0
    assert list(tmp_path.iterdir()) == []
