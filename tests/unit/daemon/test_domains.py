"""What guests of libvirt take is there when it is needed, and not before."""

import anyio
import pytest
from tests.support.supervising import service, supervising

from virtsupd.daemon.domains import GuestsOfLibvirt, Processes
from virtsupd.process.clock import SystemClock
from virtsupd.supervisor.domain_work import NoDomains
from virtsupd.supervisor.domains import Domains

pytestmark = pytest.mark.process


async def test_the_interpreter_has_them_from_when_they_are_prepared() -> None:
    async with supervising(service()) as s, anyio.create_task_group() as tasks:
        guests = GuestsOfLibvirt(
            s.interpreter,
            Processes(s.launcher.spawner, s.reaper),
            lambda: s.supervisor,
            address=str,
            clock=SystemClock(),
            tasks=tasks,
        )
        await guests.leave()
        assert isinstance(s.interpreter.domains, NoDomains)
        guests.attend()
        assert isinstance(s.interpreter.domains, Domains)
        assert guests.prepare() is s.interpreter.domains
        await guests.leave()
