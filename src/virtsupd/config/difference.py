"""What changed of a definition, key by key, and when each change holds."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Final

from virtsupd.config.generated import is_secret, settings
from virtsupd.config.settings import GeneratedFile
from virtsupd.config.show import HIDDEN, definition
from virtsupd.config.toml_text import dotted, string_text, value_text
from virtsupd.core.frozen import frozen
from virtsupd.core.spec import ServiceSpec

_OF_PROCESS: Final = """
command user group supplementary_groups directory umask environment environment_file limits
capabilities no_new_privileges oom_score_adjust nice sockets log domain machine
"""
"""Keys of what is made once, at a start."""
_LONGEST: Final = 400


class When(StrEnum):
    """When a changed key holds for a service that runs."""

    NOW = "now"
    RELOAD = "reload"
    """Once it has read its files again."""
    RESTART = "restart"


@frozen
class ChangedKey:
    """One key, its old and its new value as they stand in a file; None: it is not there."""

    key: str
    """Of the definition, with dots; or of the generated file. "" for such a file as a whole."""
    old: str | None
    new: str | None
    when: When
    file: str = ""
    """The generated file; "" for the definition itself."""


def is_changed(old: ServiceSpec, new: ServiceSpec) -> bool:
    """Whether anything but the file it stands in is another, what it reads of its own files included."""
    return replace(old, source="") != replace(new, source="")


def changed_keys(old: ServiceSpec, new: ServiceSpec) -> Iterator[ChangedKey]:
    """Yield the keys in which definitions differ; secrets are named, their values hidden."""
    before, after = _flat(old), _flat(new)
    hidden = _changed_secrets(old, new)
    for path in dict.fromkeys((*before, *after)):
        texts = before.get(path), after.get(path)
        if texts[0] != texts[1] or path in hidden:
            yield ChangedKey(dotted(path), *texts, _when(path[0], old, new))


def changed_settings(old: GeneratedFile | None, new: GeneratedFile | None) -> Iterator[ChangedKey]:
    """Yield what changed in a generated file that a service reads; of a secret one, only where.

    None is a file that was not, or is no more: what makes use of it says so with keys of its own.
    A file without keys has no values either: it has changed.
    """
    if old is None or new is None:
        return
    before, after = settings(old), settings(new)
    is_hidden = is_secret(old) or is_secret(new)
    for key in dict.fromkeys((*before, *after)):
        texts = before.get(key), after.get(key)
        if texts[0] != texts[1]:
            when = When.RELOAD if key in new.reread else When.RESTART
            show = _hidden if is_hidden else _shortened
            shown = (show(texts[0]), show(texts[1])) if key else (None, None)
            yield ChangedKey(key, *shown, when, str(new.path))


def _flat(spec: ServiceSpec) -> dict[tuple[str, ...], str]:
    """Return the values as text, by their keys; tables are taken apart, but for those of a probe."""
    found: dict[tuple[str, ...], str] = {}
    for key, value in definition(spec):
        if key in ("ready", "health"):
            found[key,] = _text(value)
        else:
            found.update(_leaves((key,), value))
    return found


def _leaves(path: tuple[str, ...], value: object) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves((*path, str(key)), item)
    else:
        yield path, _text(value)


def _changed_secrets(old: ServiceSpec, new: ServiceSpec) -> frozenset[tuple[str, ...]]:
    """Return the variables whose values are hidden, and others than before."""
    if old.process is None or new.process is None:
        return frozenset()
    before, after = dict(old.process.environment), dict(new.process.environment)
    names = old.process.secret_environment & new.process.secret_environment
    return frozenset(("environment", name) for name in names if before[name] != after[name])


def _when(key: str, old: ServiceSpec, new: ServiceSpec) -> When:
    if key == "ready":
        is_same_guest = old.domain is not None and old.domain == new.domain
        is_at_once = is_same_guest or old.ready.probe == new.ready.probe
        return When.NOW if is_at_once else When.RESTART
    if key == "timer":
        return When.NOW if (old.timer is None) is (new.timer is None) else When.RESTART
    return When.RESTART if key in _OF_PROCESS.split() else When.NOW


def _text(value: object) -> str:
    return _shortened(value_text(value)) or ""


def _shortened(text: str | None) -> str | None:
    return text if text is None or len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _hidden(text: str | None) -> str | None:
    return None if text is None else string_text(HIDDEN)
