"""Whatever a host file says, loading it gives a sound configuration or ConfigError, nothing else."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from virtsupd.config.files import merged
from virtsupd.config.load import load
from virtsupd.config.model import (
    AccessTable,
    ActionTable,
    HostTable,
    LogTable,
    ReloadTable,
    RespawnTable,
    RuleTable,
    ServiceTable,
    SocketTable,
    StopTable,
)
from virtsupd.config.toml_text import value_text
from virtsupd.errors import ConfigError
from virtsupd.services.registry import KINDS

MODELS: tuple[type[BaseModel], ...] = (
    AccessTable,
    ActionTable,
    HostTable,
    LogTable,
    ReloadTable,
    RespawnTable,
    RuleTable,
    ServiceTable,
    SocketTable,
    StopTable,
    *(kind.model for kind in KINDS.values()),
)
KEYS = sorted({key for model in MODELS for key in model.model_fields})
PROBE_KEYS = ["kind", "port", "path", "url", "expect", "host", "statuses", "pattern", "check", "fd"]
WORDS = [
    "notify",
    "tcp",
    "exit",
    "banner",
    "host",
    "HUP",
    "/x",
    "5s",
    "2MB",
    "web",
    "none",
    "0644",
    "(",
]

leaves = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-1, 300),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(WORDS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from([*PROBE_KEYS, *KEYS]) | st.text(max_size=5), inner, max_size=4
        ),
    ),
    max_leaves=12,
)
tables = st.dictionaries(st.sampled_from(KEYS), values, max_size=6)
guests = st.fixed_dictionaries(
    {"domain": st.sampled_from(["web", "b", "c d"])},
    optional={key: values for key in KINDS["guest"].model.model_fields if key != "domain"},
)
files = st.fixed_dictionaries(
    {},
    optional={
        "host": values | tables,
        "access": values | tables,
        "virtlog": values | tables,
        "libvirt": values | tables,
        "guest": values | st.lists(guests, max_size=3),
        "service": values
        | st.dictionaries(st.sampled_from(["web", "b", "networking"]), tables | values),
    },
)


def toml(tables_by_name: Mapping[str, object]) -> str:
    return "".join(f"{key} = {value_text(value)}\n" for key, value in tables_by_name.items())


def refusal(host: Path) -> tuple[str, ...]:
    """Return why a host file is refused; nothing if it is sound."""
    try:
        loaded = load(host, KINDS)
    except ConfigError as error:
        return error.problems
    assert {spec.name for spec in loaded.specs} == set(loaded.graph.spec_by_name)
    return ()


@settings(deadline=None, max_examples=150)  # other tests share the processor
@given(files, files)
def test_a_file_is_sound_or_refused(main: dict[str, object], drop_in: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        host = Path(folder) / "host.toml"
        host.write_text(toml(main))
        host.with_name("host.toml.d").mkdir()
        host.with_name("host.toml.d").joinpath("1.toml").write_text(toml(drop_in))
        problems = refusal(host)
    assert all(folder in line or "web" in line for line in problems)
    assert all("\n" not in line for line in problems)


@given(tables, tables)
def test_what_is_laid_over_wins_and_laying_it_twice_changes_nothing(
    below: dict[str, object], above: dict[str, object]
) -> None:
    once = merged(below, above)
    assert value_text(merged(once, above)) == value_text(once)
    assert once.keys() == below.keys() | above.keys()
    assert all(once[key] == value for key, value in above.items() if isinstance(value, str))
