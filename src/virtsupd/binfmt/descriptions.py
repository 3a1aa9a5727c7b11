"""Files in which other programs keep what they enter in binfmt_misc.

systemd-binfmt and others have lines for the kernel in binfmt.d (binfmt.d(5)), binfmt-support has a
file for each entry (update-binfmts(8)).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

_DIRECTORIES: Final = (
    "etc/binfmt.d",
    "run/binfmt.d",
    "usr/local/lib/binfmt.d",
    "usr/lib/binfmt.d",
)
"""A file in one of them hides those of its name in the later ones."""
_BINFMT_SUPPORT: Final = "var/lib/binfmts"
_NAME, _INTERPRETER = 1, 6
"""The fields of a line; the first one, before the delimiter, is empty."""
_INTERPRETER_LINE: Final = 5
"""In a file of binfmt-support: package, type, offset, magic, mask, interpreter …"""


def described(root: Path = Path("/")) -> Mapping[str, tuple[tuple[str, str], ...]]:
    """Return for each name of an entry the files that describe it, each with its interpreter.

    What cannot be read is passed over.
    """
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for name, interpreter, path in (*_lines(root), *_databases(root)):
        found[name] = (*found.get(name, ()), (f"/{path.relative_to(root)}", interpreter))
    return found


def _lines(root: Path) -> Iterator[tuple[str, str, Path]]:
    seen = set()
    for directory in _DIRECTORIES:
        for path in _files(root / directory, "*.conf"):
            if path.name in seen:
                continue
            seen.add(path.name)
            for line in map(str.strip, _text(path).splitlines()):
                fields = line.split(line[0]) if line and line[0] not in "#;" else []
                if len(fields) > _INTERPRETER:
                    yield fields[_NAME], fields[_INTERPRETER], path


def _databases(root: Path) -> Iterator[tuple[str, str, Path]]:
    for path in _files(root / _BINFMT_SUPPORT, "*"):
        lines = _text(path).splitlines()
        if len(lines) > _INTERPRETER_LINE:
            yield path.name, lines[_INTERPRETER_LINE], path


def _files(directory: Path, pattern: str) -> list[Path]:
    try:
        return sorted(directory.glob(pattern))
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        # A link to /dev/null switches a file of a later directory off; nothing else but files is opened.
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError:
        return ""
