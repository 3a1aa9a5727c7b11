"""Jobs that somebody scheduled while virtsupd runs: a service of its own each, which vanishes afterwards.

A table as of `[service.NAME]` describes it, so that it can be kept as such; its timer means one
moment alone.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from virtsupd.config.build import build_service, service_problems
from virtsupd.config.model import ServiceTable
from virtsupd.config.problems import Layer, problem_at, validation_problems
from virtsupd.config.settings import HostSettings
from virtsupd.config.timer import calendar
from virtsupd.core.names import Name
from virtsupd.core.spec import ServiceSpec, TimerSpec
from virtsupd.errors import ConfigError

_CLOCK_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


def next_moment(clock_time: str, now: float) -> str:
    """Return the expression of the moment at which this host's clock shows "HH:MM" or "HH:MM:SS" next.

    Raises:
        ValueError: it is no such time.
    """
    if _CLOCK_TIME.fullmatch(clock_time) is None:
        raise ValueError(f"found {clock_time!r}, must be a time of the clock: HH:MM or HH:MM:SS")
    at = calendar().next_firing(TimerSpec((clock_time,)), now)
    if at is None:
        raise ValueError(f"{clock_time} never comes")
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def scheduled_job(name: Name, table: Mapping[str, Any], host: HostSettings) -> ServiceSpec:
    """Return the service of a scheduled job.

    Raises:
        ConfigError: with everything that is wrong with its table.
    """
    layer = Layer(f"scheduled job {name}", table, ())
    try:
        found = ServiceTable.model_validate(table)
    except ValidationError as error:
        problems = tuple(validation_problems(error, ServiceTable, table, (layer,)))
        raise ConfigError(problems) from error
    faults = tuple(problem_at((layer,), keys, text) for keys, text in service_problems(found))
    if faults:
        raise ConfigError(faults)
    return replace(build_service(name, found, host, layer.file), transient=True)
