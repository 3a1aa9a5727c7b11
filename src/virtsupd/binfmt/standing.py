"""How our entries are, in one line for `status`."""

import time
from collections.abc import Collection, Mapping, Sequence

from virtsupd.binfmt.holding import Found
from virtsupd.binfmt.ownership import PutBack
from virtsupd.binfmt.platforms import QemuPlatform


def status_text(
    held: Sequence[QemuPlatform],
    found: Found,
    unproved: Mapping[str, str],
    mounted: PutBack,
    refusal: str,
) -> str:
    """Return what is registered, what is not, and what was done about it.

    `unproved` says by platform why its programs do not run, `mounted` how often the table was mounted
    again, `refusal` why settings are not in force.
    """
    registered = [platform.name for platform in held if platform.name not in found.missing]
    parts = [f"registered: {', '.join(registered) or 'nothing'}"]
    if not found.is_on:
        parts.insert(0, "binfmt_misc is switched off as a whole")
    parts += [f"{name} does not run: {why}" for name, why in unproved.items()]
    parts += [f"{name} is not registered: {why}" for name, why in found.missing.items()]
    parts += [f"{name}: {text}" for name, text in found.remarks.items()]
    if found.taken_off:
        parts.append(f"taken off by an operator: {', '.join(found.taken_off)}")
    parts += _put_back(found.counts.values())
    if mounted.times:
        parts.append(f"mounted again {_often(mounted.times, mounted.at)}")
    if refusal:
        parts.append(refusal)
    return "; ".join(parts)


def _put_back(counts: Collection[PutBack]) -> list[str]:
    if not counts:
        return []
    times = sum(one.times for one in counts)
    return [f"put back {_often(times, max(one.at for one in counts))}"]


def _often(times: int, last: float) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(last))
    return f"{times} time{'s' if times != 1 else ''}, last at {at}"
