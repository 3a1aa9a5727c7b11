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
MADE_SLOWLY = (
    "import sys; from virtsupd.cli import supervise;"
    "names = [name for name in sys.modules if name.startswith('virtsupd.')];"
    "found = {made for name in names for made in vars(sys.modules[name]).values()"
    " if isinstance(made, type) and made.__module__.startswith('virtsupd.')};"
    "slow = {made for made in found"
    " if '__dataclass_params__' in vars(made) and made.__dataclass_params__.frozen};"
    "print(len(found), *(made.__qualname__ for made in slow))"
)
"""Prints how many classes of virtsupd there are then, and those of `dataclass(frozen=True)`."""
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
UNLIKE_FROZEN = {"Launcher", "ProbeContext", "_Work"}
"""They have arguments with names alone, or no equality, neither of which `frozen` knows."""
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


def test_frozen_classes_are_made_by_frozen() -> None:
    """Each that is not costs a fifth of a millisecond more; there are some 170."""
    done = subprocess.run(
        [sys.executable, "-c", MADE_SLOWLY],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    count, *slow = done.stdout.split()
    assert int(count) > len(UNLIKE_FROZEN) * 10, "classes are found at all"
    assert set(slow) == UNLIKE_FROZEN


def test_both_languages_are_there_before_anybody_asks() -> None:
    with virtsupd(WEB, environment={"PYTHONPROFILEIMPORTTIME": "1"}) as daemon:

        def found() -> set[str]:
            return set(IMPORTED.findall(daemon.output))

        eventually(lambda: found() >= AFTER_THE_FIRST_SERVICES, "both languages")
        assert daemon.state("web") == "running"
        assert not found() & (AT_FIRST_REQUEST | FOR_THEIR_TABLES | NEVER)
