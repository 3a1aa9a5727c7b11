"""Another configuration takes the place of the one in force, or changes nothing."""

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from tests.support.outputs import read_only, small_disk
from tests.support.whole_daemon import SERVICE, WEB, whole_daemon, write_host

from virtsupd.control.commands import ShuttingDownError
from virtsupd.core.events import Verb
from virtsupd.core.forecast import Fate
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State
from virtsupd.daemon import reloading
from virtsupd.errors import ConfigError, ReexecutingError, UnknownServiceError

pytestmark = pytest.mark.process


VIRTLOG = (
    SERVICE
    + """[virtlog]
autostart = false
log_outputs = "1:file:{place}"
"""
)


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
    async with whole_daemon(tmp_path, VIRTLOG.format(place="/x")) as backend:
        generated = tmp_path / "run_dir/generated"
        content = (generated / "virtlog/virtlogd.conf").read_bytes()
        place = generated / "libvirt/libvirtd.conf"
        place.mkdir(parents=True)
        changed = VIRTLOG.format(place="/y").replace("1000", "2000")
        write_host(tmp_path, f"{changed}[libvirt]\nautostart = false\n")
        with pytest.raises(ConfigError, match=f"cannot use {place}: is a directory"):
            await backend.reload_configuration()
        place.rmdir()
        place.parent.rmdir()
        assert '"1000"' in backend.definition(WEB)
        assert (generated / "virtlog/virtlogd.conf").read_bytes() == content


async def test_a_socket_that_cannot_change_leaves_the_files_as_they_were(tmp_path: Path) -> None:
    """Otherwise a service that starts would read what was refused."""
    with small_disk(tmp_path / "disk", kib=64) as disk:
        text = f'socket = "{disk}/control"\n{VIRTLOG}'
        async with whole_daemon(tmp_path, text.format(place="/x")) as backend:
            generated = tmp_path / "run_dir/generated"
            before = contents(generated)
            access = '[virtlock]\nautostart = false\n[access]\nmode = "0660"\n'
            write_host(tmp_path, text.format(place="/y") + access)
            with (
                read_only(disk),
                pytest.raises(ConfigError, match="cannot change mode") as refused,
            ):
                await backend.reload_configuration()
            assert len(refused.value.problems) == 1
            assert contents(generated) == before
            assert (await backend.reload_configuration()).added == ("virtlockd",)


def contents(directory: Path) -> Mapping[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


async def test_reload_tells_the_difference(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        write_host(tmp_path, SERVICE.replace("1000", "2000") + SERVICE.replace("web", "app"))
        outcome = await backend.reload_configuration()
        assert (outcome.added, outcome.pending, outcome.removed) == (("app",), ("web",), ())
        assert '"2000"' in backend.definition(WEB)


async def test_a_plan_is_what_the_reload_does_then(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        write_host(tmp_path, SERVICE.replace("1000", "2000") + SERVICE.replace("web", "app"))
        plan = await backend.plan_reload(())
        assert '"1000"' in backend.definition(WEB)
        assert plan == await backend.reload_configuration()
        [step] = (await backend.plan_reload(["web"])).steps
        assert (step.fate, step.command) == (Fate.PENDING, ("restart", "web"))
        assert [key.key for key in step.keys] == ["command"]


async def test_a_plan_may_be_asked_for_by_present_and_by_coming_names(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        write_host(tmp_path, SERVICE.replace("web", "app"))
        for name, fate in (("web", Fate.STOPPED), ("app", Fate.STARTED)):
            [step] = (await backend.plan_reload([name])).steps
            assert (step.name, step.fate) == (name, fate)
        with pytest.raises(UnknownServiceError):
            await backend.plan_reload(["nobody"])


async def test_what_would_refuse_a_reload_refuses_its_plan(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        write_host(tmp_path, SERVICE + "colour = 1\n")
        with pytest.raises(ConfigError, match="colour"):
            await backend.plan_reload(())
        place = tmp_path / "run_dir/generated/libvirt/libvirtd.conf"
        place.mkdir(parents=True)
        write_host(tmp_path, SERVICE + "[libvirt]\nautostart = false\n")
        with pytest.raises(ConfigError, match=str(place)):
            await backend.plan_reload(())
        place.rmdir()
        place.parent.rmdir()


async def test_reloads_at_the_same_time_come_one_after_another(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        found: list[tuple[str, ...]] = []

        async def reload() -> None:
            found.append((await backend.reload_configuration()).added)

        write_host(tmp_path, SERVICE + SERVICE.replace("web", "app"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reload)
            tasks.start_soon(reload)
        assert found == [("app",), ()]


GUEST = (
    SERVICE
    + """
[service.vm]
command = ["/bin/sleep", "1000"]
guest = true
autostart = {autostart}
binds_to = [{bond}]
[service.bridge]
command = ["/bin/sleep", "1000"]
"""
)


async def test_a_reload_waits_for_what_is_under_way(tmp_path: Path) -> None:
    """A bond that is about to fall must not take a guest with it."""
    text = GUEST.format(autostart="true", bond="")
    async with whole_daemon(tmp_path, text) as backend:
        await backend.ask(Verb.WAIT, [Name("vm"), Name("bridge")], who="a test")
        write_host(tmp_path, GUEST.format(autostart="true", bond='"bridge"'))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(backend.ask, Verb.STOP, [Name("bridge")], who="a test"))
            await anyio.lowlevel.checkpoint()
            with pytest.raises(ConfigError, match="would end a running guest"):
                await backend.reload_configuration()
        assert backend.snapshot(Name("vm")).state is State.RUNNING


async def test_a_service_that_could_not_start_here_refuses_the_file_that_brings_it(
    tmp_path: Path,
) -> None:
    async with whole_daemon(tmp_path) as backend:
        write_host(tmp_path, VIRTLOG.format(place=tmp_path))
        for refused in (backend.plan_reload(()), backend.reload_configuration()):
            with pytest.raises(
                ConfigError, match=f"virtlog.log_outputs: {tmp_path} is a directory"
            ):
                await refused
        assert [snapshot.spec.name for snapshot in backend.snapshots()] == ["web"]


async def test_a_host_that_got_worse_since_refuses_no_other_change(tmp_path: Path) -> None:
    place = tmp_path / "log"
    async with whole_daemon(tmp_path, VIRTLOG.format(place=place)) as backend:
        place.mkdir()
        write_host(tmp_path, VIRTLOG.format(place=place).replace("1000", "2000"))
        text = f"virtlog.log_outputs: {place} is a directory"
        for plan in (await backend.plan_reload(()), await backend.reload_configuration()):
            first = plan.warnings[0]
            assert first.startswith("virtlogd would not start: ")
            assert first.endswith(text)
        assert '"2000"' in backend.definition(WEB)
        write_host(
            tmp_path, VIRTLOG.format(place=place).replace("[virtlog]", "[virtlog]\nmax_size = 0")
        )
        with pytest.raises(ConfigError, match=text):
            await backend.reload_configuration()


async def test_a_service_that_would_end_over_its_file_is_not_told_to_read_it(
    tmp_path: Path,
) -> None:
    async with whole_daemon(tmp_path, VIRTLOG.format(place=tmp_path / "log")) as backend:
        virtlogd = Name("virtlogd")
        answer = await backend.ask(Verb.RELOAD, [virtlogd], who="a test")
        assert answer.reports[0].message == "virtlogd is not running"
        (tmp_path / "log").mkdir()
        answer = await backend.ask(Verb.RELOAD, [virtlogd, WEB], who="a test")
        text = f"log_outputs: {tmp_path}/log is a directory"
        assert [report.message for report in answer.reports] == [
            f"virtlogd: it would end over {text}",
            "web: nothing was reloaded: see the others",
        ]


async def test_what_guests_would_lose_refuses_a_reload_or_is_told(tmp_path: Path) -> None:
    asked: list[Collection[Name]] = []

    async def harms(names: Collection[Name]) -> Mapping[Name, str]:
        asked.append(names)
        return {name: "a lamp goes out" for name in names if name == WEB}

    async with whole_daemon(tmp_path) as backend:
        backend._configuration.harms = harms
        write_host(tmp_path, SERVICE.replace("1000", "2000"))
        [step] = (await backend.reload_configuration()).steps
        assert (step.fate, step.harms) == (Fate.PENDING, ("a lamp goes out",))
        write_host(tmp_path, SERVICE.replace("web", "app"))
        for way in (backend.reload_configuration, partial(backend.plan_reload, ())):
            with pytest.raises(ConfigError, match="web: it would be stopped: a lamp goes out"):
                await way()
        assert backend.snapshot(WEB).state is State.RUNNING
    assert asked == [{WEB}] * 3


async def test_what_would_be_stopped_by_then_is_asked_about_too(tmp_path: Path) -> None:
    """While guests are looked at, another service comes up that the reload would stop."""
    asked: list[Collection[Name]] = []
    text = SERVICE + SERVICE.replace("web", "late") + "autostart = false\n"

    async with whole_daemon(tmp_path, text) as backend:

        async def harms(names: Collection[Name]) -> Mapping[Name, str]:
            asked.append(names)
            if len(asked) == 1:
                await backend.ask(Verb.START, [Name("late")], who="a test")
            return {name: "a lamp goes out" for name in names if name == "late"}

        backend._configuration.harms = harms
        write_host(tmp_path, SERVICE.replace("web", "app"))
        with pytest.raises(ConfigError, match="late: it would be stopped"):
            await backend.reload_configuration()
        assert backend.snapshot(Name("late")).state is State.RUNNING
    assert asked == [{WEB}, {"late"}]


async def test_who_is_ending_or_becoming_another_program_reloads_nothing(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        write_host(tmp_path, SERVICE.replace("1000", "2000"))
        backend._supervisor.interrupt(ReexecutingError())
        with pytest.raises(ReexecutingError):
            await backend.reload_configuration()
        backend._supervisor.resume()
        backend.end("shutdown", who="a test")
        with pytest.raises(ShuttingDownError):
            await backend.reload_configuration()
        assert '"1000"' in backend.definition(WEB)


async def test_a_file_that_cannot_be_read_in_time_refuses_the_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with whole_daemon(tmp_path) as backend:
        monkeypatch.setattr(reloading, "_LOAD_SECONDS", 0.0)
        with pytest.raises(ConfigError, match="cannot be read within 0 s"):
            await backend.reload_configuration()
        assert backend.snapshot(WEB).state is State.RUNNING


READER = """[service.virtlogd]
command = ["/bin/sleep", "1000"]
ready = {{ kind = "exec", command = ["/usr/bin/test", "-e", "{started}"] }}
autostart = true
reload = {{ command = ["/bin/sh", "-c", "echo {word} >> {told}"] }}
"""


async def test_a_running_service_is_told_only_of_files_that_it_does_not_end_over(
    tmp_path: Path,
) -> None:
    told, place, started = tmp_path / "told", tmp_path / "log", tmp_path / "started"
    own = READER.format(word="told", told=told, started=started)
    virtlogd = Name("virtlogd")
    async with whole_daemon(tmp_path, VIRTLOG.format(place=place) + own) as backend:
        write_host(tmp_path, VIRTLOG.format(place=tmp_path / "second") + own)
        assert virtlogd in (await backend.reload_configuration()).reloaded  # once it has started
        (tmp_path / "second").mkdir()
        plan = await backend.reload_configuration()
        started.touch()
        await backend.ask(Verb.WAIT, [virtlogd], who="a test")
        [step] = [step for step in plan.steps if step.name == virtlogd]
        assert (step.fate, step.command) == (Fate.UNREAD, ("reload", "virtlogd"))
        assert any("over which it would end: log_outputs" in text for text in plan.warnings)
        assert backend.snapshot(virtlogd).is_reload_pending
        assert not told.exists()
        write_host(tmp_path, VIRTLOG.format(place=tmp_path / "other") + own)
        plan = await backend.reload_configuration()
        assert virtlogd in plan.reloaded
        with anyio.fail_after(10):
            while backend.snapshot(virtlogd).is_reload_pending:
                await anyio.lowlevel.checkpoint()
        assert told.read_text() == "told\n"
