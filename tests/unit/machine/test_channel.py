import asyncio
import os
import stat
from pathlib import Path

import pytest

from virtsupd.machine.channel import ChannelTakenError, make_locks, turn_now, turn_on


def test_one_at_a_time_has_a_channel_and_who_has_it_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "serial")
    lock = turn_now(path)
    with pytest.raises(ChannelTakenError, match="somebody else has it"):
        turn_now(path)
    os.close(lock)
    os.close(turn_now(path))


def test_whoever_waits_has_it_once_it_is_free(tmp_path: Path) -> None:
    path = str(tmp_path / "agent")

    async def wait() -> None:
        waiting = asyncio.ensure_future(turn_on(path))
        await asyncio.sleep(0)
        assert not waiting.done()
        os.close(first)
        os.close(await waiting)

    first = turn_now(path)
    asyncio.run(wait())
    os.close(turn_now(path))


def test_the_group_of_a_machine_may_take_its_turns(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    before = os.umask(0o077)
    make_locks(folder, os.getuid(), os.getgid())
    make_locks(folder, os.getuid(), os.getgid())
    os.umask(before)
    os.close(folder)
    found = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert found == dict.fromkeys(("monitor.lock", "agent.lock", "serial.lock"), 0o660)


def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "serial.lock").symlink_to("elsewhere")
    with pytest.raises(OSError, match="serial"):
        turn_now(str(tmp_path / "serial"))
    assert not (tmp_path / "elsewhere").exists()
