"""Guix's list of machines to build in (/etc/guix/machines.scm): ours go in and out, and nothing else changes.

The value of the file is its last datum, a list. Ours is put around that, between lines that name whose it is:

    ;; virtsupd childhurd begins
    (append (list (build-machine ...))
    ;; virtsupd childhurd ends
    (list ... what somebody else wrote ...)
    ;; virtsupd childhurd begins
    )
    ;; virtsupd childhurd ends
"""

import re
from collections.abc import Sequence

from virtsupd.core.frozen import frozen
from virtsupd.machine.scheme_text import last_datum

_OURS = re.compile(r"^;; virtsupd \S+ (?:begins|ends)\n", re.MULTILINE)
_REST = re.compile(r"[ \t]*(?:;[^\n]*)?(?:\n|\Z)")
_MADE = ";; made by virtsupd, which removes it with its last machine\n"
_NOTHING = "(list)\n"


@frozen
class BuildMachine:
    """One element of the list; see "Daemon Offload Setup" of Guix's manual."""

    name: str
    """Of the service, without blanks."""
    port: int
    systems: Sequence[str]
    user: str
    host_key: str
    """The public key of its SSH server, as in a .pub file."""
    private_key: str
    """The file of the key that the host logs in with."""
    threshold: float | None = None
    """Load above which nothing more is built in it."""

    @property
    def datum(self) -> str:
        """Return it as Scheme."""
        systems = " ".join(map(quoted, self.systems))
        key = " ".join(self.host_key.split()[:2])
        fields = [
            f'(name "localhost") (port {self.port})',
            f"(systems '({systems}))",
            f"(user {quoted(self.user)})",
            f"(host-key {quoted(key)})",
            f"(private-key {quoted(self.private_key)})",
        ]
        if self.threshold is not None:
            fields.append(f"(overload-threshold {self.threshold:g})")
        inner = "\n          ".join(fields)
        return f"(build-machine\n          {inner})"


def quoted(text: str) -> str:
    """Return a string as Scheme writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def with_machine(text: str | None, machine: BuildMachine) -> str:
    """Return the file with a machine in it, in place of one of its name; None is no file.

    Where its value does not have lines of its own, line breaks are put around it, and stay.

    Raises:
        SchemeError: it cannot be told where its value is.
    """
    text = without_machine(text, machine.name) if text is not None else None
    if text is None:
        text = _MADE + _NOTHING
    where = last_datum(text)
    if where is None:
        text = _lines(text) + _NOTHING
        where = (len(text) - len(_NOTHING), len(text) - 1)
    begin, end = _around_ours(text, *where)
    before = _block(machine.name, f"(append (list {machine.datum})\n")
    after = _block(machine.name, ")\n")
    head, datum, tail = (_lines(part) for part in (text[:begin], text[begin:end], text[end:]))
    return f"{head}{before}{datum}{after}{tail}"


def without_machine(text: str, name: str) -> str | None:
    """Return the file without a machine; None if we had made it and nothing of ours is left."""
    block = re.compile(
        rf"^;; virtsupd {re.escape(name)} begins\n.*?^;; virtsupd {re.escape(name)} ends\n",
        re.MULTILINE | re.DOTALL,
    )
    left = block.sub("", text)
    return None if left == _MADE + _NOTHING else left


def _block(name: str, content: str) -> str:
    return f";; virtsupd {name} begins\n{content};; virtsupd {name} ends\n"


def _lines(text: str) -> str:
    """Return a text whose last line is ended."""
    return text if not text or text.endswith("\n") else f"{text}\n"


def _around_ours(text: str, begin: int, end: int) -> tuple[int, int]:
    """Return the datum with the lines of ours that it begins and ends in, and a comment behind it."""
    line = text.rfind("\n", 0, begin) + 1
    above = text.rfind("\n", 0, max(line - 1, 0)) + 1
    if line == begin and _OURS.match(text, above):
        begin = above
    rest = _REST.match(text, end)
    end = rest.end() if rest is not None else end
    ours = _OURS.match(text, end)
    return begin, ours.end() if ours is not None else end
