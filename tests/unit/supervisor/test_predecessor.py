"""A service that was renamed goes on under its new name; what is gone and idle is forgotten."""

import os
from dataclasses import replace
from pathlib import Path

from tests.support.pure_host import service

from virtsupd.core.graph import ServiceGraph
from virtsupd.core.made import made_from
from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.snapshot import State
from virtsupd.core.spec import LogSpec
from virtsupd.process.clock import SystemClock
from virtsupd.process.lives import epoch
from virtsupd.process.output import Outputs
from virtsupd.process.reaper import Reaper
from virtsupd.process.store import DirectoryStore
from virtsupd.supervisor.predecessor import take_names
from virtsupd.supervisor.records import Records

WEB, WWW = Name("web"), Name("www")
WEB_SPEC = service("web")
WWW_SPEC = service("www", provides=(WWW, WEB))


def left(run_dir: Path, *services: Service) -> Records:
    """Give the records as a successor finds them."""
    store = DirectoryStore(run_dir / "records")
    records = Records(store, epoch())
    for one in services:
        records.keep(one.spec.name, one)
    records.flush()
    return Records(store, epoch())


def running() -> Service:
    return Service(WEB_SPEC, State.RUNNING, pid=77, generation=3, made=made_from(WEB_SPEC))


def outputs_in(run_dir: Path) -> Outputs:
    (run_dir / "fifo").mkdir()
    os.mkfifo(run_dir / "fifo/web")
    return Outputs(run_dir, children=Reaper(), clock=SystemClock(), on_trouble=lambda *_: None)


async def test_a_renamed_service_goes_on_with_its_state_and_output(tmp_path: Path) -> None:
    records, outputs = left(tmp_path, running()), outputs_in(tmp_path)
    take_names(records, outputs, ServiceGraph.build([WWW_SPEC]))
    assert list(records.kept()) == [WWW]
    records.flush()
    assert [path.name for path in (tmp_path / "records").iterdir()] == ["www"]
    assert outputs.path(WWW).is_fifo()
    assert not outputs.path(WEB).exists()


async def test_an_heir_with_a_past_of_its_own_keeps_it(tmp_path: Path) -> None:
    own = Service(WWW_SPEC, State.RUNNING, pid=78, generation=4, made=made_from(WWW_SPEC))
    records = left(tmp_path, running(), own)
    take_names(records, outputs_in(tmp_path), ServiceGraph.build([WWW_SPEC]))
    assert {name: kept.pid for name, kept in records.kept().items()} == {WEB: 77, WWW: 78}


async def test_only_what_may_have_a_process_is_kept_without_a_definition(tmp_path: Path) -> None:
    idle = Service(service("idle"), State.STOPPED, changes=((State.STOPPED, 1.0),))
    records = left(tmp_path, running(), idle)
    take_names(records, outputs_in(tmp_path), ServiceGraph.build([]))
    assert list(records.kept()) == [WEB]
    assert [path.name for path in (tmp_path / "records").iterdir()] == ["web"]


async def test_the_log_of_a_stopped_service_is_kept_for_what_is_left_of_it(tmp_path: Path) -> None:
    records, outputs = left(tmp_path), outputs_in(tmp_path)
    log = LogSpec(str(tmp_path / "web.log"))
    assert WEB_SPEC.process is not None
    spec = replace(WEB_SPEC, process=replace(WEB_SPEC.process, log=log))
    take_names(records, outputs, ServiceGraph.build([spec, service("app")]))
    assert list(outputs.handed()) == [WEB]
    outputs.leave()
