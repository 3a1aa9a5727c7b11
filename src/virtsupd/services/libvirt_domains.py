"""The action domains of libvirtd: the guests that run, since when.

A program of its own, which virtsupd runs: `python -m virtsupd.services.libvirt_domains VIRSH URI
[OPTION…]`. libvirt does not know when a guest began: that is taken from its QEMU, by the pid file that
libvirt keeps.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from virtsupd.libvirtlink.guests import qemu_of, run_dir_of
from virtsupd.process.clock import SystemClock
from virtsupd.services.action_program import ActionParser, json_text, table_text, told
from virtsupd.services.libvirt_asking import answer
from virtsupd.times import ago

_DOMAIN: Final = re.compile(r"([0-9a-f]{8}-[0-9a-f-]{27}) (\d+|-) (.*)")
_STATES: Final = {
    "0": "no state",
    "1": "running",
    "2": "blocked",
    "3": "paused",
    "4": "in shutdown",
    "5": "shut off",
    "6": "crashed",
    "7": "suspended",
}
"""By the numbers of virDomainState."""


@dataclass(frozen=True, slots=True)
class Domain:
    """One guest of libvirt."""

    id: int | None
    """libvirt's number for it while it runs."""
    name: str
    uuid: str
    state: str
    pid: int | None = None
    """Of its QEMU; None if it does not run, or is not found."""
    started: float | None = None
    """Unix time at which its QEMU began: a guest that reboots keeps it, one that migrated here has a
    new one."""
    uptime_seconds: float | None = None


def parsed(text: str) -> Iterator[Domain]:
    """Yield the domains that `list --id --uuid --name; domstats --state` printed.

    A name has no line ends, and may have anything else. A domain that ended between the two is
    passed over.
    """
    states: dict[str, str] = {}
    found: list[tuple[str, str, str]] = []
    name = ""
    for line in text.split("\n"):
        if match := _DOMAIN.fullmatch(line):
            found.append((match[1], match[2], match[3]))
        elif line.startswith("Domain: '"):
            name = line.removeprefix("Domain: '").removesuffix("'")
        elif line.strip().startswith("state.state="):
            states[name] = line.strip().removeprefix("state.state=")
    for uuid, number, name in found:
        if name in states:
            state = _STATES.get(states[name], f"state {states[name]}")
            yield Domain(None if number == "-" else int(number), name, uuid, state)


def with_start(domain: Domain, uri: str, wall: float) -> Domain:
    """Return the domain with what its QEMU tells; `wall` is the Unix time now."""
    pid, started = qemu_of(domain.name, run_dir_of(uri))
    if pid is None or started is None:
        return domain
    return replace(
        domain, pid=pid, started=started, uptime_seconds=round(max(wall - started, 0.0), 2)
    )


def _asked(words: Sequence[str]) -> str:
    virsh, uri, *added = words
    parser = ActionParser("virtsupctl domains libvirtd", "List the guests that run.")
    parser.add_argument("--all", action="store_true", help="also those that do not run")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(added)
    which = ("--all", "") if options.all else ("", "--list-active")
    commands = f"list --id --uuid --name {which[0]}; domstats --state {which[1]}"
    text = answer("libvirtd", [virsh, "--quiet", "--connect", uri, commands])
    wall = SystemClock().now().wall
    domains = [with_start(domain, uri, wall) for domain in parsed(text)]
    if options.json:
        return json_text({"domains": [asdict(domain) for domain in domains]})
    return table(domains, wall) if domains else "no guests run"


def table(domains: Sequence[Domain], now: float) -> str:
    """Return the domains as lines for people, with times as `status` has them."""
    rows = [("ID", "STATE", "STARTED", "NAME")]
    for domain in domains:
        number = "-" if domain.id is None else str(domain.id)
        since = "-" if domain.started is None else ago(domain.started, now)
        rows.append((number, domain.state, since, domain.name))
    return table_text(rows)


def main(words: Sequence[str]) -> int:
    """Print the domains; return the exit code."""
    return told("list domains", lambda: _asked(words))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
