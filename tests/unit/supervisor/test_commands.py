"""Commands beside services and for them."""

import pytest
from tests.support.supervising import WEB, Parts, service, supervising

from virtsupd.core.spec import Reload
from virtsupd.errors import SpawnError
from virtsupd.supervisor.commands import last_line

pytestmark = pytest.mark.process


@pytest.mark.parametrize("has_cgroups", [True, False])
async def test_a_command_runs_in_the_place_of_its_service(*, has_cgroups: bool) -> None:
    spec = service(process={"environment": (("COLOUR", "blue"),), "directory": "/usr"})
    async with supervising(spec, parts=Parts(has_cgroups=has_cgroups)) as s:
        run = s.interpreter._runs[WEB]
        line = ("/bin/sh", "-c", "echo $COLOUR $(pwd); tail -n 1 /proc/self/cgroup")
        outcome = await s.machine.commands.run_beside(run, line, 10)
        first, place = outcome.output.decode().splitlines()
        assert first == "blue /usr"
        assert place.endswith("/web.service") == has_cgroups


async def test_a_service_that_does_not_run_has_no_place() -> None:
    async with supervising(service(), parts=Parts(has_booted=False)) as s:
        with pytest.raises(SpawnError, match="not running"):
            await s.machine.commands.run_beside(None, ("/bin/true",), 10)


async def test_an_action_runs_as_virtsupd_with_the_variables_of_the_service() -> None:
    spec = service(process={"environment": (("COLOUR", "blue"),), "user": "nobody"})
    async with supervising(spec, parts=Parts(has_booted=False)) as s:
        line = ("/bin/sh", "-c", "echo $COLOUR $(id -u)")
        outcome = await s.machine.commands.run_action(spec, line, 10)
        assert outcome.output == b"blue 0\n"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("/bin/true",), None),
        (("/bin/sh", "-c", "echo no; exit 2"), "exited with code 2: no"),
        (("/bin/false",), "exited with code 1: no output"),
        (("/bin/sleep", "1000"), "no end within 0.05 s"),
        (("/nonexistent/program",), "cannot run /nonexistent/program: no such program"),
    ],
)
async def test_a_reload_says_why_it_failed(command: tuple[str, ...], why: str | None) -> None:
    async with supervising(service()) as s:
        run = s.interpreter._runs[WEB]
        reload = Reload(command=command, timeout_seconds=0.05 if "1000" in command else 10)
        assert await s.machine.commands.reload(run, reload) == why


@pytest.mark.parametrize(
    ("output", "line"),
    [(b"", "no output"), (b"a\nb\n\n  \n", "b"), (b"\xff\n", "\N{REPLACEMENT CHARACTER}")],
)
def test_the_last_line_that_says_something(output: bytes, line: str) -> None:
    assert last_line(output) == line
