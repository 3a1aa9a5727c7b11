"""Another configuration takes the place of the one in force, or changes nothing."""

from pathlib import Path

import pytest
from tests.support.whole_daemon import SERVICE, WEB, whole_daemon, write_host

from virtsupd.errors import ConfigError

pytestmark = pytest.mark.process


async def test_a_reload_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        before = backend.snapshot(WEB)
        write_host(tmp_path, SERVICE + "colour = 1\n")
        with pytest.raises(ConfigError):
            await backend.reload_configuration()
        write_host(tmp_path, SERVICE, run_dir=f"{tmp_path}/other", cgroup="other")
        with pytest.raises(ConfigError) as refused:
            await backend.reload_configuration()
        assert len(refused.value.problems) == 3  # run_dir, the socket in it, cgroup
        assert backend.snapshot(WEB) == before
        assert not (tmp_path / "other").exists()


async def test_a_file_that_cannot_be_written_refuses_the_reload(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        place = tmp_path / "run_dir/generated/libvirt/libvirtd.conf"
        place.mkdir(parents=True)
        changed = SERVICE.replace("1000", "2000")
        write_host(tmp_path, f"{changed}[libvirt]\nautostart = false\n")
        with pytest.raises(ConfigError, match=f"cannot write {place}.*in force stays"):
            await backend.reload_configuration()
        place.rmdir()
        assert '"1000"' in backend.definition(WEB)


async def test_reload_tells_the_difference(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        write_host(tmp_path, SERVICE.replace("1000", "2000") + SERVICE.replace("web", "app"))
        outcome = await backend.reload_configuration()
        assert (outcome.added, outcome.changed, outcome.pending, outcome.removed) == (
            ("app",),
            ("web",),
            ("web",),
            (),
        )
        assert '"2000"' in backend.definition(WEB)
