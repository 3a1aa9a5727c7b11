"""What `virtsupd --check` says about the host as it is now: no fault of the file, and it may change.

A service whose program, user or directory is missing fails when it is started. That is no reason to
refuse the file: the program may be installed later. Nothing is run here.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from virtsupd.config.host import group_id, user_id
from virtsupd.config.load import Loaded
from virtsupd.config.toml_text import value_text
from virtsupd.core.spec import ExecProbe, ProcessSpec, ServiceSpec
from virtsupd.errors import SpawnError
from virtsupd.process.environment import DEFAULT_PATH, service_environment
from virtsupd.process.files import no_directory
from virtsupd.process.identity import Credentials, resolve_credentials
from virtsupd.process.plan import find_program

_Found = tuple[str, str]
"""A key of a service, and what the host says about it."""
_Command = tuple[str, tuple[str, ...]]
"""The key that holds a command, and the command."""

_ANYBODY = Credentials(0, 0, (), "/", "/bin/sh", "root")
"""For environments of which only PATH is looked at."""


def checked_on_host(loaded: Loaded) -> tuple[str, ...]:
    """Return a line for each thing that services of a sound configuration miss on this host.

    Looked for are programs, users, groups, directories and environment files; but for users and groups
    that one of the services makes.
    """
    return tuple(
        f"{spec.source}: {spec.name}: {key}: {text}"
        for spec in loaded.specs
        for key, text in _missing(spec, loaded.accounts)
    )


def _missing(spec: ServiceSpec, made: frozenset[str]) -> Iterator[_Found]:
    process = spec.process
    if process is not None:
        yield from _unknown_accounts(process, made)
        if not Path(process.directory).is_dir():
            yield "directory", no_directory(Path(process.directory), "it")
        yield from _unusable_files(process)
        search = _environment(process)
        for command in _commands(spec, process):
            yield from _missing_program(command, search, process.directory)
    own = dict(process.environment) if process is not None else {}
    for action in spec.actions:
        # Actions run as virtsupd does; see `Launcher.plan_action`.
        yield from _missing_program((f"actions.{action.name}.command", action.command), own, "/")


def _unknown_accounts(process: ProcessSpec, made: frozenset[str]) -> Iterator[_Found]:
    unknown = [*_unknown(process)]
    for key, kind, name in unknown:
        if name not in made:
            yield key, f"no {kind} is named {name!r}"
    if not unknown:
        try:
            resolve_credentials(process)
        except SpawnError as error:
            yield "user", str(error)


def _unknown(process: ProcessSpec) -> Iterator[tuple[str, str, str]]:
    """Yield the key, the kind and the name of each account that the databases do not have."""
    for key, user in _users(process):
        if user is not None and user_id(user) is None:
            yield key, "user", user
    for key, group in _groups(process):
        if group is not None and group_id(group) is None:
            yield key, "group", group


def _users(process: ProcessSpec) -> Iterator[tuple[str, str | None]]:
    yield "user", process.user
    for index, socket in enumerate(process.sockets, start=1):
        yield f"sockets[{index}].owner", socket.owner


def _groups(process: ProcessSpec) -> Iterator[tuple[str, str | None]]:
    yield "group", process.group
    for group in process.supplementary_groups or ():
        yield "supplementary_groups", group
    if process.machine is not None:
        yield "machine.access_group", process.machine.access_group
    for index, socket in enumerate(process.sockets, start=1):
        yield f"sockets[{index}].group", socket.group


def _unusable_files(process: ProcessSpec) -> Iterator[_Found]:
    for file in process.environment_files:
        try:
            service_environment(replace(process, environment_files=(file,)), _ANYBODY)
        except SpawnError as error:
            yield "environment_file", str(error)


def _environment(process: ProcessSpec) -> Mapping[str, str]:
    """Return the variables of a service, without its files if one of them cannot be used."""
    try:
        return service_environment(process, _ANYBODY)
    except SpawnError:
        return {"PATH": DEFAULT_PATH, **dict(process.environment)}


def _commands(spec: ServiceSpec, process: ProcessSpec) -> Iterator[_Command]:
    """Yield what runs as the service does."""
    yield "command", process.command
    if spec.reload is not None and spec.reload.command:
        yield "reload.command", spec.reload.command
    if isinstance(spec.ready.probe, ExecProbe):
        yield "ready.command", spec.ready.probe.command
    if spec.health is not None and isinstance(spec.health.probe, ExecProbe):
        yield "health.command", spec.health.probe.command


def _missing_program(
    command: _Command, environment: Mapping[str, str], directory: str
) -> Iterator[_Found]:
    key, words = command
    try:
        find_program(words, environment, directory)
    except SpawnError as error:
        apart = _words(words[0])
        if len(apart) < 2:
            yield key, str(error)
        else:
            split = value_text([*apart, *words[1:]])
            yield (
                key,
                f"found {value_text(words)}, whose first string is one program; meant {split}?",
            )


def _words(text: str) -> list[str]:
    """Return a command line in its words; where its quotes are not closed, at its blanks."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
