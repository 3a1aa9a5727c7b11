"""Commands beside services and for them."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from tests.support.supervising import SECONDS, WEB, Parts, service, supervising

from virtsupd.core.spec import Reload
from virtsupd.errors import SpawnError
from virtsupd.supervisor.commands import BusyError, last_line

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


async def test_probes_are_cut_short_and_begin_anew(tmp_path: Path) -> None:
    async with supervising(service()) as s:
        run, commands = s.interpreter._runs[WEB], s.machine.commands
        line = f"echo >> {tmp_path}/begun; while ! test -e {tmp_path}/go; do sleep 0.01; done"
        codes = []

        async def probe() -> None:
            outcome = await commands.probe(run, ("/bin/sh", "-c", line), 10)
            codes.append(outcome.status.code)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(probe)
            await s.launcher.clock.sleep(0)
            with anyio.fail_after(SECONDS):
                while not (tmp_path / "begun").exists():
                    await anyio.lowlevel.checkpoint()
            async with commands.held(10):
                assert codes == []
                (tmp_path / "go").touch()
        assert codes == [0]
        assert (tmp_path / "begun").read_text() == "\n\n"


async def test_a_command_that_cannot_be_repeated_is_waited_for_or_named() -> None:
    async with supervising(service()) as s, anyio.create_task_group() as tasks:
        run, commands = s.interpreter._runs[WEB], s.machine.commands
        tasks.start_soon(commands.run_beside, run, ("/bin/sleep", "1000"), 60)
        await anyio.lowlevel.checkpoint()
        with pytest.raises(BusyError, match=r"command of web: still at work after 0\.01 s"):
            async with commands.held(0.01):
                pass
        assert (await commands.run_action(service(), ("/bin/true",), 10)).status.code == 0
        tasks.cancel_scope.cancel()
