"""What virtsupd imports on the way to its first service: each module there is time without one."""

import re
import subprocess
import sys

import pytest
from tests.support.checks import eventually
from tests.support.daemon import SECONDS, host, virtsupd

pytestmark = pytest.mark.process

WEB = '[service.web]\ncommand = ["/bin/sleep", "1000"]\n'
BEFORE_THE_LOOP = (
    "import sys; from pathlib import Path; from virtsupd.cli import supervise;"
    "code = supervise.check(Path(sys.argv[1]));"
    "print(*sys.modules, file=sys.stderr); sys.exit(code)"
)
"""Everything up to the event loop, whose first work is the first service."""
IMPORTED = re.compile(r"import time: +\d+ \| +\d+ \| +(\S+)")
"""A line of `python -X importtime`, which goes where the log goes."""

AT_FIRST_REQUEST = {"psutil"}
"""What only somebody who asks for the processes of a service needs."""
FOR_THEIR_TABLES = {
    *(f"virtsupd.services.{kind}" for kind in ("libvirt", "virtlog", "render")),
    *("virtsupd.config.firings", "cronsim", "oncalendar"),
}
AFTER_THE_FIRST_SERVICES = {
    f"virtsupd.control.{module}"
    for module in ("herd", "herd_conversation", "interface", "languages", "sexp", "varlink")
}
"""Imported before virtsupd serves: what is imported later might be another version's."""
FOR_GUESTS_OF_LIBVIRT = {
    *("virtsupd.process.libvirt_link", "virtsupd.supervisor.domains", "virtsupd.libvirtlink"),
}
NEVER = {"virtsupd.cli.virtsupctl", "virtsupd.control.client", "virtsupd.logkeeper.keeper"}


def imported_before_the_loop(services: str) -> set[str]:
    with host(services) as made:
        done = subprocess.run(
            [sys.executable, "-c", BEFORE_THE_LOOP, str(made.config)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
    return set(done.stderr.split())


def test_the_first_service_waits_for_no_module_that_it_does_not_need() -> None:
    found = imported_before_the_loop(WEB)
    assert {"virtsupd.daemon.daemon", "pydantic", "structlog"} <= found
    assert not found & AT_FIRST_REQUEST
    assert not found & FOR_THEIR_TABLES
    assert not found & AFTER_THE_FIRST_SERVICES
    assert not found & FOR_GUESTS_OF_LIBVIRT
    assert not found & NEVER


def test_both_languages_are_there_before_anybody_asks() -> None:
    with virtsupd(WEB, environment={"PYTHONPROFILEIMPORTTIME": "1"}) as daemon:

        def found() -> set[str]:
            return set(IMPORTED.findall(daemon.output))

        eventually(lambda: found() >= AFTER_THE_FIRST_SERVICES, "both languages")
        assert daemon.state("web") == "running"
        assert not found() & (AT_FIRST_REQUEST | FOR_THEIR_TABLES | NEVER)
