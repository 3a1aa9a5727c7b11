import runpy
import tomllib
from pathlib import Path

from virtsupd.config.load import load
from virtsupd.config.model import AccessTable, ActionTable, HostTable, RuleTable, ServiceTable
from virtsupd.config.timer import TimerTable
from virtsupd.config.units import unit_names
from virtsupd.core.domain import GuestStop
from virtsupd.core.names import Name
from virtsupd.core.spec import Stop
from virtsupd.services.registry import KINDS

CONFIG = Path(__file__).resolve().parents[3] / "config"


def test_every_kind_has_its_units() -> None:
    for table, kind in KINDS.items():
        assert set(kind.units) <= unit_names(), table


def test_the_complete_host_file_names_every_key() -> None:
    text = (CONFIG / "host.toml").read_text()
    tables = tomllib.loads(text)
    service = tables["service"]["web"]
    assert tables["host"].keys() == HostTable.model_fields.keys()
    assert tables["access"].keys() == AccessTable.model_fields.keys()
    assert {
        key for rule in tables["access"]["rule"] for key in rule
    } == RuleTable.model_fields.keys()
    assert service.keys() | {"timer", "domain", "machine"} == ServiceTable.model_fields.keys()
    timer = tables["service"]["page-cleaner"]["timer"]
    assert timer.keys() | {"cron"} == TimerTable.model_fields.keys()
    actions = [key for action in service["actions"].values() for key in action]
    assert set(actions) == ActionTable.model_fields.keys()
    for table, kind in KINDS.items():
        shown = tables[table][0] if kind.is_array else tables[table]
        for key in kind.model.model_fields:
            assert key in shown or f"# {key} = " in text, f"{table}.{key}"


def test_the_complete_host_file_shows_the_defaults_of_every_kind() -> None:
    tables = tomllib.loads((CONFIG / "host.toml").read_text())
    for table, kind in KINDS.items():
        if not kind.is_array:
            assert kind.model.model_validate(tables[table]) == kind.model.model_validate({})


def test_the_demo_is_for_root_alone_and_touches_no_usual_directory() -> None:
    loaded = load(CONFIG / "demo.toml", KINDS)
    host = loaded.host
    assert {host.run_dir.name, host.state_dir.name, host.log_dir.name} == {"virtsupd-demo"}
    assert str(host.socket) == "/run/virtsupd-demo/control"
    conf = loaded.generated[1].content
    assert conf.count('_perms = "0700"') == 3
    assert conf.count('auth_unix_ro = "none"') == conf.count('auth_unix_rw = "none"') == 1
    assert loaded.warnings == ()


def test_the_examples_of_the_specification_say_what_it_says() -> None:
    libvirt = load(CONFIG / "examples/libvirt.toml", KINDS).generated[0].content
    assert 'unix_sock_group = "libvirt"\n' in libvirt
    assert 'tls_port = "16555"\n' in libvirt
    virtlog = load(CONFIG / "examples/virtlog.toml", KINDS).generated[0].content
    assert "max_clients = 1000\n" in virtlog


def test_the_example_of_guests_has_a_drop_in() -> None:
    loaded = load(CONFIG / "examples/guests.toml", KINDS)
    web = loaded.graph.spec_by_name[Name("web1")]
    assert web.requires == ("db1",)
    assert web.stop == Stop(delay_seconds=60.0, how=GuestStop.ACPI)
    assert [Path(source.split()[0]).name for source in loaded.sources[web.name]] == [
        "guests.toml",
        "web1.toml",
    ]


def test_the_manual_shows_every_field_as_it_is_declared() -> None:
    """`scripts/draw-fields` writes it."""
    script = runpy.run_path(str(CONFIG.parent / "scripts/draw-fields"))
    for page in script["PAGES"]:
        assert script["drawn"](page) == page.read_text()
    for kind in KINDS.values():
        texts = script["docstrings"](kind.model)
        undocumented = {name for name in kind.model.model_fields if not texts.get(name)}
        assert undocumented == {"autostart"}
