"""What generated files say, key by key: what a service reads of them, and what changed.

A file of lines `key = value` is compared by its keys; any other is one whole, whose key is "".
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Final

from virtsupd.config.settings import GeneratedFile
from virtsupd.core.spec import ServiceSpec

_LINE: Final = re.compile(r"(?P<off># )?(?P<key>[A-Za-z_]\w*) = (?P<value>.*)", re.ASCII)
_FOR_EVERYBODY: Final = 0o004
_DIGEST_BYTES: Final = 12


def settings(file: GeneratedFile) -> Mapping[str, str]:
    """Return the values by their keys, as they are written; a key that is commented out has none.

    A file that is not made of such lines has its whole text under the key "".
    """
    lines = [line for line in file.content.split("\n") if line.strip()]
    found = [_LINE.fullmatch(line) for line in lines]
    if not any(found) or any(
        match is None and not line.startswith("#") for line, match in zip(lines, found, strict=True)
    ):
        return {"": file.content}
    return {match["key"]: match["value"] for match in found if match and not match["off"]}


def is_secret(file: GeneratedFile) -> bool:
    """Whether what the file says is not for everybody."""
    return not file.mode & _FOR_EVERYBODY


def reading(spec: ServiceSpec, file: GeneratedFile) -> ServiceSpec:
    """Return a service as the reader of a file: another content makes another definition.

    What it reads again when it is told to is its reload's, all else its process's.
    """
    if spec.process is None:
        return spec
    reread = file.reread if spec.reload is not None else frozenset[str]()
    once = {key: value for key, value in settings(file).items() if key not in reread}
    again = {key: value for key, value in settings(file).items() if key in reread}
    process = replace(spec.process, files=(*spec.process.files, _digest(once.items())))
    if spec.reload is None or not again:
        return replace(spec, process=process)
    reload = replace(spec.reload, files=(*spec.reload.files, _digest(again.items())))
    return replace(spec, process=process, reload=reload)


def _digest(entries: Iterable[tuple[str, str]]) -> str:
    text = "\n".join(f"{key} = {value}" for key, value in sorted(entries))
    return blake2b(text.encode(errors="surrogateescape"), digest_size=_DIGEST_BYTES).hexdigest()
