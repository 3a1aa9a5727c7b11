"""virtsupd's own life: start, signals, lock, sockets, its log, and how it ends."""

import pytest
from tests.support.daemon import virtsupd, host

pytestmark = pytest.mark.process
WEB = '[service.web]\ncommand = ["/bin/sleep", "1000"]\n'


def test_a_shutdown_leaves_nothing() -> None:
    with virtsupd(WEB) as daemon:
        assert daemon.state("web") == "running"
        assert any("READY=1" in message for message in daemon.said)
