"""Fields that say on their own declaration what they become, and the one renderer for all of them.

A field of a kind's table carries one of these marks in its annotation:

    tls_port: Annotated[str, ConfKey()] = "16514"                    # tls_port = "16514"
    tls_no_verify_cert: Annotated[bool, ConfKey("tls_no_verify_certificate")] = False
    bind: Annotated[str, Option("--bind")] = "0.0.0.0"               # --bind=0.0.0.0
    debug: Annotated[bool, Option("--debug")] = False                # --debug, or nothing
    mdns_adv: Annotated[bool, Gone("libvirt 9.0 does not read it")] = False

A field without a mark is looked at by its kind alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from virtsupd.config.problems import Fault
from virtsupd.services.virconf import value_text


@dataclass(frozen=True, slots=True)
class ConfKey:
    """The field is written to the daemon's configuration file."""

    key: str | None = None
    """As the daemon reads it; None if it is the field's own name."""
    omit_empty: bool = False
    """Whether an empty string is not written at all, so that the daemon's own default holds."""


@dataclass(frozen=True, slots=True)
class Option:
    """The field is an option of the daemon's command line."""

    flag: str
    with_it: str | None = None
    """Another flag that the daemon wants beside it."""
    if_false: bool = False
    """Whether the flag turns off what the field turns on: it is there if the field is false."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The field is accepted for the specification's sake, and nothing reads it any more."""

    why: str


Mark = TypeVar("Mark", ConfKey, Option, Gone)


def marked(model: type[BaseModel], mark: type[Mark]) -> Iterator[tuple[str, Mark]]:
    """Yield the fields that carry a mark of this class, in the order of their declaration."""
    for name, field in model.model_fields.items():
        for item in field.metadata:
            if isinstance(item, mark):
                yield name, item


def conf_text(table: BaseModel, part: type[BaseModel] | None = None) -> str:
    """Return the configuration file of one of libvirt's daemons: one `key = value` a line.

    It has the fields of `part`, of which the table is a subclass, so that one table can serve several
    daemons that each read some of it; default: all. Every field is written, defaults too, so that the file says what is in force whatever the build's
    own defaults are. An empty list and what may not be empty are written as comments: libvirt takes
    an empty list of names for one that allows nobody.
    """
    lines = ["# Written by virtsupd from its host file; changes made here are lost."]
    for name, mark in marked(part or type(table), ConfKey):
        value = getattr(table, name)
        is_unset = value == () or (mark.omit_empty and value == "")
        lines.append(f"{'# ' if is_unset else ''}{mark.key or name} = {value_text(value)}")
    return "\n".join(lines) + "\n"


def options(table: BaseModel) -> tuple[str, ...]:
    """Return the options of the command line: a bare flag for true, nothing for false and unset."""
    found: list[str] = []
    for name, mark in marked(type(table), Option):
        value = getattr(table, name)
        if isinstance(value, bool):
            found += [mark.flag] if value is not mark.if_false else []
        elif value is not None:
            found.append(f"{mark.flag}={value}")
        if mark.with_it is not None and found[-1:] == [mark.flag]:
            found.append(mark.with_it)
    return tuple(found)


def gone_warnings(table: BaseModel) -> Iterator[Fault]:
    """Yield a warning for each field that differs from its default and that nothing reads any more."""
    for name, mark in marked(type(table), Gone):
        is_default = getattr(table, name) == type(table).model_fields[name].default
        if not is_default:
            yield (name,), f"has no effect: {mark.why}"
