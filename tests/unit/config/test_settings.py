from pathlib import Path

from virtsupd.config.settings import AccessSettings, HostSettings


def test_generated_files_lie_in_the_run_directory() -> None:
    assert HostSettings(run_dir=Path("/run/x")).generated_dir == Path("/run/x/generated")


def test_by_default_the_socket_is_for_its_owner_alone() -> None:
    assert AccessSettings() == AccessSettings(mode=0o600, owner=None, group=None, rules=())
