"""Values of libvirt's configuration files that both of its daemons share."""

import re
from typing import Annotated

from pydantic import Field, PlainValidator

from virtsupd.services.render import conf_string

_FILTER = re.compile(r"[1-4]:\+?[^\s:]+\Z")
_OUTPUT = re.compile(r"[1-4]:(?:stderr|journald|syslog:\S+|file:/\S+)\Z")


def log_filters(value: object) -> str:
    """Return filters, each LEVEL:MATCH, separated by spaces; none at all is fine."""
    found = conf_string(value)
    if not all(_FILTER.match(item) for item in found.split()):
        raise ValueError('filters LEVEL:MATCH with spaces between, such as "3:remote 4:event"')
    return found


def log_outputs(value: object) -> str:
    """Return outputs, each LEVEL:DESTINATION, separated by spaces."""
    found = conf_string(value)
    if not found.split() or not all(_OUTPUT.match(item) for item in found.split()):
        raise ValueError(
            'outputs with spaces between: "3:stderr", "3:journald", "3:syslog:NAME", "3:file:/PATH"; '
            "levels 1 to 4"
        )
    return found


LogLevel = Annotated[int, Field(strict=True, ge=1, le=4)]
LogFilters = Annotated[str, PlainValidator(log_filters)]
LogOutputs = Annotated[str, PlainValidator(log_outputs)]
Unsigned = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
Positive = Annotated[int, Field(strict=True, ge=1, lt=2**32)]
ConfString = Annotated[str, PlainValidator(conf_string)]
