"""What virtsupd imports on the way to its first service: each module there is time without one."""

import re

import pytest
from tests.support.daemon import Daemon, virtsupd

pytestmark = pytest.mark.process

WEB = '[service.web]\ncommand = ["/bin/sleep", "1000"]\n'
IMPORTED = re.compile(r"import time: +\d+ \| +\d+ \| +(\S+)")
"""A line of `python -X importtime`, which goes where the log goes."""

AT_FIRST_REQUEST = {"psutil"}
"""What only somebody who asks for the processes of a service needs."""
FOR_THEIR_TABLES = {f"virtsupd.services.{kind}" for kind in ("libvirt", "virtlog", "render")}
AFTER_THE_FIRST_SERVICES = {
    f"virtsupd.control.{module}"
    for module in ("herd", "herd_conversation", "interface", "languages", "sexp", "varlink")
}
"""Imported before virtsupd serves: what is imported later might be another version's."""
NEVER = {"virtsupd.cli.virtsupctl", "virtsupd.control.client", "virtsupd.logkeeper.keeper"}


def imported(daemon: Daemon, *, before: str) -> set[str]:
    """Return all modules imported before the first line of the log that holds `before`."""
    daemon.await_event(before)
    lines = daemon.output.split(f'"event": "{before}"')[0]
    return set(IMPORTED.findall(lines))


def test_the_first_service_waits_for_no_module_that_it_does_not_need() -> None:
    with virtsupd(WEB, environment={"PYTHONPROFILEIMPORTTIME": "1"}) as daemon:
        found = imported(daemon, before="service running")
        assert {"virtsupd.daemon", "pydantic", "structlog"} <= found
        assert not found & AT_FIRST_REQUEST
        assert not found & FOR_THEIR_TABLES
        assert not found & AFTER_THE_FIRST_SERVICES
        assert not found & NEVER


def test_both_languages_are_there_before_anybody_asks() -> None:
    with virtsupd(WEB, environment={"PYTHONPROFILEIMPORTTIME": "1"}) as daemon:
        assert daemon.state("web") == "running"
        daemon.ctl("restart", "web")
        found = set(IMPORTED.findall(daemon.output))
        assert found >= AFTER_THE_FIRST_SERVICES
        assert not found & (AT_FIRST_REQUEST | FOR_THEIR_TABLES | NEVER)
